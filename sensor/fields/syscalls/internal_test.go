package syscalls

import (
	"path"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/probe"
)

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/a/../b", "//", "/a/./b/", "/..", "/a/b/../../..", "a//b"} {
		f.Add("/srv", s)
	}
	f.Fuzz(func(t *testing.T, dir, name string) {
		e := &Event{}
		if got, want := e.clean("/"+dir, name), path.Clean("/"+dir+"/"+name); got != want {
			t.Errorf("clean(%q, %q) = %q, want %q", "/"+dir, name, got, want)
		}
		if strings.HasPrefix(name, "/") && isClean(name) != (path.Clean(name) == name) {
			t.Errorf("isClean(%q) = %v", name, isClean(name))
		}
	})
}

func TestEveryKindHasANameACategoryAndParameters(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range probe.Kinds() {
		name := eventTypes[k]
		if k.Common() && categories[k] == categoryOther && k != probe.KindBpf && k != probe.KindInitModule && k != probe.KindFinitModule {
			t.Errorf("%s has no category", name)
		}
		if name == "" || seen[name] {
			t.Errorf("kind %v has the name %q", k, name)
		}
		seen[name] = true
		names := map[string]bool{}
		for _, p := range params[k] {
			if p.name == "" || p.get == nil || names[p.name] {
				t.Errorf("%s has a faulty parameter %q", name, p.name)
			}
			names[p.name] = true
			if (p.format == asFlags || p.format == asEnum || p.format == asMode) != (p.names != nil) {
				t.Errorf("%s.%s: names and format do not fit", name, p.name)
			}
		}
		if len(params[k]) == 0 && k != probe.KindGetsockname && k != probe.KindGetpeername {
			t.Errorf("%s has no parameters", name)
		}
	}
}

func TestFlagsArePrintedInTheOrderOfTheTable(t *testing.T) {
	for _, c := range []struct {
		value uint32
		want  string
	}{
		{0, "O_NONE"},
		{flagRead, "O_RDONLY"},
		{flagRead | flagWrite, "O_RDWR"},
		{flagRead | flagWrite | flagCloexec, "O_RDWR|O_CLOEXEC"},
		{1 << 30, ""},
		{1<<30 | flagTrunc, "O_TRUNC"},
	} {
		if got := string(fileFlagNames.appendFlags(nil, c.value)); got != c.want {
			t.Errorf("%#x is %q, want %q", c.value, got, c.want)
		}
	}
}

func TestTheMadeTextsOfAnEventDoNotOverlap(t *testing.T) {
	e := &Event{text: make([]byte, 0, 4)}
	a := e.concat("aaa", "bbb")
	b := e.clean("/x", "../y")
	c := e.concat(a, b)
	if a != "aaabbb" || b != "/y" || c != "aaabbb/y" {
		t.Errorf("%q %q %q", a, b, c)
	}
}
