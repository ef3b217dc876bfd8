package document_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/audit/document"
)

const sample = `{
	"a": {"b/c": 1, "d~e": [true, null, "x\u00e9\n", {"f": -1.5e+3}], "": "empty"},
	"a\u0062": "escaped name",
	"list": [ [1, 2], [] ],
	"list2": [10, 11]
}`

func parse(t *testing.T, text string) document.Node {
	t.Helper()
	var d document.Document
	if err := d.Parse(text); err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

func TestAPointerFindsWhatRFC6901Says(t *testing.T) {
	root := parse(t, sample)
	for pointer, want := range map[string]string{
		"/a/b~1c":                     "1",
		"/a/d~0e/0":                   "true",
		"/a/d~0e/1":                   "null",
		"/a/d~0e/2":                   "xé\n",
		"/a/d~0e/3/f":                 "-1.5e+3",
		"a/d~0e/3":                    `{"f":-1.5e+3}`,
		"/a/":                         "empty",
		"/ab":                         "escaped name",
		"/list":                       "[[1,2],[]]",
		"/list/0/1":                   "2",
		"/list2/1":                    "11",
		"/list/1":                     "[]",
		"/list2/2":                    "absent",
		"/list2/01":                   "absent",
		"/list2/-":                    "absent",
		"/list2/-1":                   "absent",
		"/list2/0/x":                  "absent",
		"/a/d~0e/1/x":                 "absent",
		"/a/none/below":               "absent",
		"/A":                          "absent",
		"/list2/99999999999999999999": "absent",
	} {
		got := "absent"
		if n := root.Pointer(pointer); n.Exists() {
			got = n.Text()
		}
		if got != want {
			t.Errorf("%s is %q, want %q", pointer, got, want)
		}
	}
}

func TestTheFirstOfTwoMembersOfOneNameCounts(t *testing.T) {
	if got := parse(t, `{"a":1,"a":2}`).Get("a").Text(); got != "1" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	var d document.Document
	for _, text := range []string{
		"", " ", "{", "[", `"`, "{}}", "[1,]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, "tru", "nul", "01", "-", "1.", "1e", ".5",
		"+1", `"\x"`, `"\u12g4"`, `"\u12`, "\"\x01\"", `"\`, "[1 2]", "{\"a\":1 \"b\":2}", "'a'", "NaN",
	} {
		if err := d.Parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
		if d.Root().Exists() {
			t.Errorf("%q leaves something behind", text)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	var d document.Document
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if err := d.Parse(deep(document.MaxDepth)); err != nil {
		t.Errorf("the deepest that is allowed: %v", err)
	}
	if err := d.Parse(deep(document.MaxDepth + 1)); !errors.Is(err, document.ErrDepth) {
		t.Errorf("one deeper: %v", err)
	}
	if err := document.Elements(deep(1_000_000), func(string) error { return nil }); !errors.Is(err, document.ErrDepth) {
		t.Errorf("much deeper: %v", err)
	}
}

func TestEntriesAreCutOut(t *testing.T) {
	var got []string
	err := document.Members(` { "a\u0062" : [1, {}] , "c" : "d" } `, func(name, raw string) error {
		got = append(got, name, raw)
		return nil
	})
	if want := []string{"ab", "[1, {}]", "c", `"d"`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("members are %q, %v, want %q", got, err, want)
	}
	got = nil
	err = document.Elements("[ 1 , \"a,b\" , [2]]", func(raw string) error {
		got = append(got, raw)
		return nil
	})
	if want := []string{"1", `"a,b"`, "[2]"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("elements are %q, %v, want %q", got, err, want)
	}
	got = nil
	err = document.Values(" {} [1]\n\"x\" 7", func(raw string) error {
		got = append(got, raw)
		return nil
	})
	if want := []string{"{}", "[1]", `"x"`, "7"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("values are %q, %v, want %q", got, err, want)
	}
	stop := errors.New("stop")
	if err := document.Elements("[1,2]", func(string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error is %v", err)
	}
	for _, text := range []string{"", "[", "[1", "[1,", "[1,]", "[1]x", "{}", "7"} {
		if document.Elements(text, func(string) error { return nil }) == nil {
			t.Errorf("%q is taken for an array", text)
		}
	}
	for _, text := range []string{"", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a":1}x`, "[]"} {
		if document.Members(text, func(string, string) error { return nil }) == nil {
			t.Errorf("%q is taken for an object", text)
		}
	}
}

func TestADocumentThatIsUsedAgainAllocatesNothing(t *testing.T) {
	var d document.Document
	found := false
	n := testing.AllocsPerRun(100, func() {
		if err := d.Parse(`{"a":{"b":[1,"two"]},"c":null}`); err != nil {
			t.Fatal(err)
		}
		found = d.Root().Get("a", "b", "1").Text() == "two" && d.Root().Pointer("/c").Exists()
	})
	if !found || n != 0 {
		t.Errorf("found %v with %v allocations", found, n)
	}
}

// FuzzDocument compares with encoding/json: what is JSON, and what its values are.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{sample, "[1,2]", `"\ud800\udc00\ud800"`, "-0.0e-0", "{\"\\\"\":\"\xff\"}", "  null "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d document.Document
		err := d.Parse(text)
		if valid := json.Valid([]byte(text)); valid != (err == nil) && !errors.Is(err, document.ErrDepth) {
			t.Fatalf("encoding/json says %v, this %v", valid, err)
		}
		if err != nil {
			return
		}
		compare(t, d.Root())
	})
}

func compare(t *testing.T, n document.Node) {
	t.Helper()
	switch n.Kind() {
	case document.String:
		var want string
		if err := json.Unmarshal([]byte(n.Raw()), &want); err != nil || strings.ToValidUTF8(n.Text(), "�") != strings.ToValidUTF8(want, "�") && !strings.Contains(want, "�") {
			t.Fatalf("%s says %q, want %q (%v)", n.Raw(), n.Text(), want, err)
		}
	case document.Object:
		for name, value := range n.Members() {
			if !n.Get(name).Exists() {
				t.Fatalf("the member %q of %s is not found", name, n.Raw())
			}
			compare(t, value)
		}
	case document.Array:
		for element := range n.Elements() {
			compare(t, element)
		}
	default:
		return
	}
	if n.Kind() != document.String {
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(n.Raw())); err != nil || n.Text() != want.String() {
			t.Fatalf("%s is %s without blanks, want %s", n.Raw(), n.Text(), want.String())
		}
	}
}

// FuzzPointer looks for panics and for a pointer that finds nothing where a value is.
func FuzzPointer(f *testing.F) {
	f.Add("/a/b~1c", "a")
	f.Add("/list/0/1", "~")
	f.Fuzz(func(t *testing.T, pointer, name string) {
		var d document.Document
		if err := d.Parse(sample); err != nil {
			t.Fatal(err)
		}
		_ = d.Root().Pointer(pointer).Text()
		object, err := json.Marshal(map[string]int{name: 1})
		if err != nil || d.Parse(string(object)) != nil {
			t.Fatalf("%s: %v", object, err)
		}
		escaped := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(strings.ToValidUTF8(name, "�"))
		if strings.ToValidUTF8(name, "") == name && d.Root().Pointer(escaped).Text() != "1" {
			t.Fatalf("%q finds nothing in %s", escaped, object)
		}
	})
}
