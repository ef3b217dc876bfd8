package process

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = "S 1 2 3 34816 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250 123 4"
	for _, c := range []struct {
		name, text string
		want       stat
		fails      bool
	}{
		{"plain", "7 (cat) " + rest, stat{"cat", 1, 2, 3, 34816, 250}, false},
		{"parentheses in the name", "7 (a) (b) " + rest, stat{"a) (b", 1, 2, 3, 34816, 250}, false},
		{"a worker's long name", "7 (kworker/u8:2-events_unbound) " + rest, stat{"kworker/u8:2-ev", 1, 2, 3, 34816, 250}, false},
		{"a negative terminal", "7 (x) S 1 2 3 -1 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250", stat{"x", 1, 2, 3, ^uint32(0), 250}, false},
		{"cut", "7 (cat) S 1 2", stat{}, true},
		{"no name", "7 cat S 1", stat{}, true},
		{"closed before it opens", "7 )cat( " + rest, stat{}, true},
		{"a letter for a number", "7 (cat) S x 2 3 4 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250", stat{}, true},
		{"empty", "", stat{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.text))
			if (err != nil) != c.fails {
				t.Fatalf("error %v", err)
			}
			if err == nil && got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestParseCgroup(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"version 2", "0::/system.slice/a.service\n", "/system.slice/a.service"},
		{"both, version 2 counts", "1:name=systemd:/x\n0::/user.slice\n", "/user.slice"},
		{"both, version 2 unused", "12:pids:/a:b\n1:name=systemd:/x\n0::/\n", "/a:b"},
		{"the one that names a container", "12:pids:/\n3:cpu:/lxc/web\n0::/init.scope\n", "/lxc/web"},
		{"version 1 only", "2:cpu:/\n1:name=systemd:/x\n", "/x"},
		{"all at the root", "2:cpu:/\n0::/\n", "/"},
		{"nonsense", "a\nb:c\n\n", ""},
		{"no line end", "0::/a", "/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parseCgroup(c.text); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParsePasswd(t *testing.T) {
	text := "root:x:0:0:root:/root:/bin/bash\r\n# comment\n\nweb:x:33:33::/srv:/usr/sbin/nologin\n" +
		"other:x:33:1::/:/bin/sh\nshort:x:5\nbad:x:-1:0:::\n:x:9:9:::\nbig:x:4294967295:0:::\n+\n"
	want := map[uint32]User{
		0:          {"root", "/root", "/bin/bash"},
		33:         {"web", "/srv", "/usr/sbin/nologin"},
		5:          {"short", "", ""},
		4294967295: {"big", "", ""},
	}
	if diff := cmp.Diff(want, parsePasswd([]byte(text))); diff != "" {
		t.Error(diff)
	}
}

func TestParseGroup(t *testing.T) {
	want := map[uint32]string{0: "root", 4: "adm"}
	if diff := cmp.Diff(want, parseGroup([]byte("root:x:0:\nadm:x:4:a,b\nadm2:x:4:\nbad:x:y:\n"))); diff != "" {
		t.Error(diff)
	}
}

func TestAccountsAreLimited(t *testing.T) {
	var b strings.Builder
	for id := range accountLimit + 100 {
		fmt.Fprintf(&b, "u:x:%d:1:::\n", id)
	}
	if n := len(parsePasswd([]byte(b.String()))); n != accountLimit {
		t.Errorf("%d users are kept", n)
	}
	if n := len(parseGroup([]byte(b.String()))); n != accountLimit {
		t.Errorf("%d groups are kept", n)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) (b) S 1 2 3 34816 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250 123 4"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStat(b)
		if err == nil && len(s.comm) > maxComm {
			t.Errorf("name of %d bytes", len(s.comm))
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Uid:\t1\t2\t3\t4\nNSpid:\t7\t1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := parseStatus(b); s.nested && !bytes.Contains(b, []byte("NSpid")) {
			t.Errorf("nested without ids: %+v", s)
		}
	})
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("12:pids:/a\n0::/lxc/web\n")
	f.Fuzz(func(t *testing.T, text string) {
		if path := parseCgroup(text); !strings.Contains(text, path) {
			t.Errorf("%q is not in the text", path)
		}
	})
}

func FuzzParsePasswd(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, u := range parsePasswd(b) {
			if u.Name == "" {
				t.Error("a user without name")
			}
		}
		for _, g := range parseGroup(b) {
			if g == "" {
				t.Error("a group without name")
			}
		}
	})
}

func FuzzNewImage(f *testing.F) {
	f.Add([]byte("/bin/ls\x00-l\x00"), []byte("A=b\x00"), "/bin/ls", "ls")
	f.Add([]byte("\x00"), []byte(""), "", "")
	f.Fuzz(func(t *testing.T, argv, env []byte, path, comm string) {
		im, _ := newImage(imageText{argv: argv, env: env, path: path, comm: comm}, nil)
		if im.Path != path || im.comm != comm || !strings.HasPrefix(im.cmdline, comm) {
			t.Errorf("path %q, name %q, command line %q", im.Path, im.comm, im.cmdline)
		}
		if want := joinCmdline(comm, im.Args()); im.Nargs() > 0 && im.Args() != "" && im.cmdline != want {
			t.Errorf("command line %q, want %q", im.cmdline, want)
		}
		n := 0
		for range im.Argv() {
			n++
		}
		if n > 0 && n != im.Nargs()+1 {
			t.Errorf("%d arguments, Nargs says %d", n, im.Nargs())
		}
	})
}
