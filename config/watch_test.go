package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type watched struct {
	Name  string   `key:"name" doc:"A name."`
	Token Secret   `key:"token" doc:"A token."`
	List  []string `key:"list" doc:"A list."`
}

func loadWatched(t *testing.T, file string) (*Loaded, watched) {
	t.Helper()
	var c watched
	l, err := Load(Source{File: file}, Section{Path: "", Into: []any{&c}})
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// looks calls Changed n times and returns what it said.
func looks(w *Watcher, n int) []bool {
	var all []bool
	for range n {
		all = append(all, w.Changed())
	}
	return all
}

func TestAChangeIsReportedOnceAndWhenItHasSettled(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, dir string)
	}{
		{"written in place", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "saker.yaml"), "name: longer") }},
		{"replaced by a file of the same size", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "new"), "token_file: "+filepath.Join(dir, "secret"))
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "saker.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a secret replaced", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "secret"), "other one") }},
		{"removed", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "saker.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "saker.yaml")
			write(t, filepath.Join(dir, "secret"), "one")
			write(t, file, "token_file: "+filepath.Join(dir, "secret"))
			l, _ := loadWatched(t, file)
			w := l.Watch()
			if got := looks(w, 3); slices.Contains(got, true) {
				t.Fatalf("nothing has changed, and the looks say %v", got)
			}
			tc.change(t, dir)
			if got := looks(w, 4); !slices.Equal(got, []bool{false, true, false, false}) {
				t.Errorf("the looks after the change say %v", got)
			}
		})
	}
}

func TestAFileThatIsStillBeingWrittenIsNotReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saker.yaml")
	write(t, file, "")
	l, _ := loadWatched(t, file)
	w := l.Watch()
	for _, text := range []string{"n", "na", "nam", "name"} {
		write(t, file, text)
		if w.Changed() {
			t.Errorf("the file with %q is reported", text)
		}
	}
	if !w.Changed() {
		t.Error("the finished file is not reported")
	}
}

// Kubernetes mounts a ConfigMap as symbolic links through one folder, and swaps that.
func TestTheSwapOfAMountedConfigMapIsSeen(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "saker.yaml"), "name: v"+version)
	}
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "..data")
	link("..data/saker.yaml", "saker.yaml")
	l, _ := loadWatched(t, filepath.Join(dir, "saker.yaml"))
	w := l.Watch()
	link("2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if got := looks(w, 3); !slices.Equal(got, []bool{false, true, false}) {
		t.Errorf("the looks say %v", got)
	}
}

// The configuration may change between being read and being watched.
func TestAChangeBeforeTheWatchBeginsIsSeen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saker.yaml")
	write(t, file, "name: a")
	l, _ := loadWatched(t, file)
	write(t, file, "name: abc")
	if got := looks(l.Watch(), 2); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("the looks say %v", got)
	}
}

func TestWhatComesFromAPipeIsNotReadAgain(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("name: a"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	l, c := loadWatched(t, filepath.Join("/proc/self/fd", strconv.Itoa(int(r.Fd()))))
	if c.Name != "a" {
		t.Fatalf("got %+v", c)
	}
	if err := l.Rereadable(); err == nil {
		t.Error("a pipe is called rereadable")
	}
	if files := l.Watch().Files(); len(files) != 0 {
		t.Errorf("%q are watched", files)
	}
}

func TestChangedNamesTheKeysWithOtherValues(t *testing.T) {
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "saker.yaml")
	read := func(text, token string) *Loaded {
		t.Helper()
		write(t, secret, token)
		write(t, file, text+"\ntoken_file: "+secret)
		l, _ := loadWatched(t, file)
		return l
	}
	before := read("name: a\nlist: [x, y]", "one")
	for _, tc := range []struct {
		name, text, token string
		want              []string
	}{
		{"nothing", "# moved\nlist: [x, y]\nname: a", "one", nil},
		{"a value", "name: b\nlist: [x, y]", "one", []string{"name"}},
		{"a list", "name: a\nlist: [y, x]", "one", []string{"list"}},
		{"a secret in its file", "name: a\nlist: [x, y]", "two", []string{"token"}},
		{"values back to their defaults", "", "one", []string{"list", "name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(tc.text, tc.token).Changed(before); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheKeysOfAnInstanceThatComesOrGoesHaveChanged(t *testing.T) {
	read := func(text string) *Loaded {
		t.Helper()
		var c struct{ Common watched }
		l, err := Load(Source{Text: []byte(text)}, Section{Path: "", Into: []any{&c.Common}},
			Section{Path: "all", Kinds: []string{"k"}, Each: func(string, string) ([]any, error) {
				return []any{&struct {
					Size int `key:"size" doc:"A size."`
				}{}}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := read("all: {a: {type: k, size: 1}}"), read("all: {b: {type: k, size: 1}}")
	want := []string{"all.a.size", "all.a.type", "all.b.size", "all.b.type"}
	if got := two.Changed(one); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEqualComparesEveryKindOfValue(t *testing.T) {
	type entry struct {
		Size   int    `key:"size" doc:"A size."`
		Secret Secret `key:"secret" doc:"A secret."`
	}
	type all struct {
		Plain   string            `key:"plain" doc:"A text."`
		Secret  Secret            `key:"secret" doc:"A secret."`
		Shout   shout             `key:"shout" doc:"A text type."`
		List    []string          `key:"list" doc:"A list."`
		Shouts  []shout           `key:"shouts" doc:"A list of texts."`
		Map     map[string]string `key:"map" doc:"A map."`
		Secrets map[string]Secret `key:"secrets" doc:"A map of secrets."`
		Entries []entry           `key:"entries" doc:"Sections."`
	}
	read := func(text string) *all {
		t.Helper()
		c := new(all)
		if _, err := Load(Source{Text: []byte(text)}, Section{Path: "", Into: []any{c}}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const text = `{plain: a, secret: b, shout: c, list: [d], shouts: [e, f], map: {g: h}, secrets: {i: j}, entries: [{size: 1, secret: k}]}`
	before := read(text)
	if !Equal(before, read(text)) {
		t.Error("the same text gives different values")
	}
	if !Equal(read("{}"), read("{list: [], map: {}}")) {
		t.Error("an empty list or map differs from none")
	}
	if Equal(before, new(entry)) || Equal(*before, *before) {
		t.Error("values of other types are equal")
	}
	for _, change := range [][2]string{
		{"plain: a", "plain: x"},
		{"secret: b", "secret: x"},
		{"shout: c", "shout: x"},
		{"[d]", "[d, d]"},
		{"[e, f]", "[f, e]"},
		{"g: h", "g: x"},
		{"i: j", "i: x"},
		{"size: 1", "size: 2"},
		{"secret: k", "secret: x"},
		{"[{size: 1, secret: k}]", "[]"},
	} {
		if Equal(before, read(strings.Replace(text, change[0], change[1], 1))) {
			t.Errorf("with %s in the place of %s they are equal", change[1], change[0])
		}
	}
}

// shout is a type with a text of its own that cannot be compared by its parts.
type shout struct {
	text string
	call func() string
}

func (s *shout) UnmarshalText(text []byte) error {
	s.text, s.call = string(text), func() string { return string(text) }
	return nil
}

func (s shout) MarshalText() ([]byte, error) { return []byte(s.text), nil }
