package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layered is what files that are joined fill.
type layered struct {
	List    []string `key:"list" doc:"A list."`
	Text    string   `key:"text" default:"none" doc:"A text."`
	Token   Secret   `key:"token" doc:"A secret."`
	Section struct {
		A string `key:"a" doc:"A."`
		B string `key:"b" doc:"B."`
	} `key:"section"`
	Entries []struct {
		Name string   `key:"name" doc:"A name."`
		Tags []string `key:"tags" doc:"Tags."`
	} `key:"entries" doc:"Entries."`
}

// loadLayered writes the files, the main one called main.yaml, and loads them.
func loadLayered(t *testing.T, files map[string]string, set ...string) (layered, *Loaded, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var c layered
	loaded, err := Load(Source{File: "main.yaml", Include: "config_files", Set: set, Environ: []string{"DIR=d"}}, Section{Into: []any{&c}})
	return c, loaded, err
}

func TestFurtherFilesAreJoinedAsTheirStrategySays(t *testing.T) {
	const base = "list: [a]\ntext: main\nsection: {a: main, b: main}\n"
	const more = "list: [b]\ntext: more\nsection: {a: more}\nentries: [{name: n}]\n"
	for name, tt := range map[string]struct {
		include string
		list    []string
		text    string
		a, b    string
	}{
		"lists grow, all else is replaced": {"[d]", []string{"a", "b"}, "more", "more", ""},
		"append":                           {"[{path: d/x.yaml, strategy: append}]", []string{"a", "b"}, "more", "more", ""},
		"override":                         {"[{path: d/x.yaml, strategy: override}]", []string{"b"}, "more", "more", ""},
		"add-only":                         {"[{path: d/x.yaml, strategy: add-only}]", []string{"a"}, "main", "main", "main"},
		"what does not exist":              {"[nowhere]", []string{"a"}, "main", "main", "main"},
		"a variable":                       {"'${DIR}'", []string{"a", "b"}, "more", "more", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := loadLayered(t, map[string]string{
				"main.yaml": "config_files: " + tt.include + "\n" + base, "d/x.yaml": more, "d/notes.txt": "text: no",
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.List, tt.list) || c.Text != tt.text || c.Section.A != tt.a || c.Section.B != tt.b {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestFurtherFilesFollowOneAnotherByName(t *testing.T) {
	c, loaded, err := loadLayered(t, map[string]string{
		"main.yaml": "config_files: d", "d/2.yaml": "text: two\nlist: [two]", "d/1.yml": "text: one\nlist: [one]",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Text != "two" || !slices.Equal(c.List, []string{"one", "two"}) || loaded.Origin("text") != "d/2.yaml:1" {
		t.Errorf("got %+v, text from %s", c, loaded.Origin("text"))
	}
	if files := loaded.Watch().Files(); !slices.Equal(files, []string{"main.yaml", "d", "d/1.yml", "d/2.yaml"}) {
		t.Errorf("watched are %v", files)
	}
}

func TestMistakesInFurtherFilesHaveTheirPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an unknown key":      {map[string]string{"main.yaml": "config_files: d", "d/x.yaml": "text: a\ntexd: b"}, "d/x.yaml:2: texd: unknown key"},
		"no YAML":             {map[string]string{"main.yaml": "config_files: d", "d/x.yaml": "text: ["}, "d/x.yaml:1: "},
		"files of their own":  {map[string]string{"main.yaml": "config_files: d", "d/x.yaml": "config_files: e"}, "d/x.yaml:1: config_files: cannot stand in a file that is included itself"},
		"an unknown strategy": {map[string]string{"main.yaml": "config_files: [{path: d, strategy: mix}]"}, `strategy must be one of append, override, add-only, not "mix"`},
		"no path":             {map[string]string{"main.yaml": "config_files: [{strategy: append}]"}, "main.yaml:1: config_files: must be a list of paths"},
		"a key there twice":   {map[string]string{"main.yaml": "config_files: d", "d/x.yaml": "text: a\ntext: b"}, "d/x.yaml:2: text: is set twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := loadLayered(t, tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestFlagsSetElementsOfLists(t *testing.T) {
	const base = "list: [a, b]\nentries: [{name: first}]\n"
	names := func(c layered) (all []string) {
		for _, e := range c.Entries {
			all = append(all, e.Name+"="+strings.Join(e.Tags, "+"))
		}
		return all
	}
	for name, tt := range map[string]struct {
		set     []string
		list    []string
		entries []string
	}{
		"one more":               {[]string{"list[]=c"}, []string{"a", "b", "c"}, []string{"first="}},
		"two more":               {[]string{"list[]=c", "list[]=d"}, []string{"a", "b", "c", "d"}, []string{"first="}},
		"another in its place":   {[]string{"list[0]=z"}, []string{"z", "b"}, []string{"first="}},
		"the whole list":         {[]string{"list=x,y"}, []string{"x", "y"}, []string{"first="}},
		"a section more":         {[]string{`entries[]={"name": "second", "tags": ["t"]}`}, []string{"a", "b"}, []string{"first=", "second=t"}},
		"a key of a section":     {[]string{"entries[0].name=other"}, []string{"a", "b"}, []string{"other="}},
		"a list in a section":    {[]string{"entries[0].tags[]=t", "entries[0].tags[]=u"}, []string{"a", "b"}, []string{"first=t+u"}},
		"a section made of keys": {[]string{"entries[1].name=made"}, []string{"a", "b"}, []string{"first=", "made="}},
		"all sections":           {[]string{`entries=[{"name": "only"}]`}, []string{"a", "b"}, []string{"only="}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := loadLayered(t, map[string]string{"main.yaml": base}, tt.set...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.List, tt.list) || !slices.Equal(names(c), tt.entries) {
				t.Errorf("got %v and %v", c.List, names(c))
			}
		})
	}
	// There need be no file, and no such key in it.
	var c layered
	if _, err := Load(Source{Set: []string{"list[]=x", "entries[].name=y"}}, Section{Into: []any{&c}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.List, []string{"x"}) || !slices.Equal(names(c), []string{"y="}) {
		t.Errorf("got %+v", c)
	}
}

func TestFlagsForElementsSayWhatIsWrong(t *testing.T) {
	for flag, want := range map[string]string{
		"list[5]=x":                 "--set list[5]: names element 5 of a list of 2",
		"list[x]=x":                 "--set list[x]: has [ without a number",
		"list[0=x":                  "has [ without a number",
		"[0]=x":                     "has [ without a key before it",
		"text[0].a=x":               "--set text[0].a: ",
		"section[0]=x":              "names an element of something that is no list",
		"nothing[]=x":               "--set nothing[]: nothing: unknown key",
		`entries[]={"nam": "x"}`:    "--set entries[]: entries[1].nam: unknown key (did you mean name?)",
		`entries[]={"name"`:         "begins like JSON but is none",
		"list[999999999999999999]=": "has [ without a number",
	} {
		if _, _, err := loadLayered(t, map[string]string{"main.yaml": "list: [a, b]\ntext: t\nsection: {a: x}\nentries: [{}]"}, flag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q in it", flag, err, want)
		}
	}
}

func FuzzElements(f *testing.F) {
	for _, s := range []string{"list[]=x", "entries[0].tags[1]=y", `entries[]={"name":"z"}`, `a\.b[0]=c`, "list[0][0]=x", "section.a[0]=x"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, flag string) {
		var c layered
		_, _ = Load(Source{Text: []byte("list: &l [a]\nentries: [{tags: *l}]\n"), Set: []string{flag, flag}}, Section{Into: []any{&c}})
	})
}

func TestAFolderTellsWhenAFileComes(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "later")
	w := WatchFiles(dir, missing)
	changed := func() bool { return slices.Contains([]bool{w.Changed(), w.Changed(), w.Changed()}, true) }
	if changed() {
		t.Error("nothing has happened")
	}
	if err := os.WriteFile(missing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !changed() {
		t.Error("a file has come")
	}
	if changed() {
		t.Error("it is told once")
	}
}
