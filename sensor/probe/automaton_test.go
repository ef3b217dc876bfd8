package probe

import (
	"encoding/binary"
	mathbits "math/bits"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// interpret does what the programs do with an encoded automaton: it returns the clauses
// whose set has the path, and false if the automaton cannot tell.
func interpret(b []byte, text string) (uint64, bool) {
	u16 := func(at int) int { return int(binary.NativeEndian.Uint16(b[at:])) }
	if binary.NativeEndian.Uint32(b[4:]) == 0 {
		return 0, false
	}
	telling := func(state int) bpfTelling {
		at := 8 + 2*256 + u16(automatonHead+state*rowUnit)*int(unsafe.Sizeof(bpfTelling{}))
		return *(*bpfTelling)(unsafe.Pointer(&b[at]))
	}
	var proven, folder uint64
	state, special := u16(0), u16(2)
	for _, c := range []byte(text) {
		if c == '/' {
			folder = 0
		}
		state = u16(automatonHead + state*rowUnit + u16(8+2*int(c)))
		if state >= special {
			t := telling(state)
			proven |= t.Here
			folder |= t.Folder
		}
	}
	return proven | folder | telling(state).End, true
}

// containing are the bits of the sets that have a path, found the plain way.
func containing(sets []*Paths, full string) uint64 {
	var bits uint64
	for i, p := range sets {
		if p != nil && (full == "/" || full != path.Clean(full) || p.contains(full)) {
			bits |= 1 << i
		}
	}
	return bits
}

func recognise(t *testing.T, sets []*Paths, full string) uint64 {
	t.Helper()
	a := newAutomaton(sets)
	got, ok := interpret(a.encode(a.size()), full)
	if !ok {
		t.Fatalf("the automaton of %d bytes does not fit", a.size())
	}
	if want := containing(sets, full); got != want {
		t.Errorf("%q is in the sets %b, want %b", full, got, want)
	}
	return got
}

func TestTheAutomatonKnowsEveryMemberOfASet(t *testing.T) {
	sets := []*Paths{
		{Equal: []string{"/etc/shadow"}},
		{Prefixes: []string{"/etc/", "/root"}},
		{Suffixes: []string{".so", "shadow"}},
		{Parts: []string{"/.ssh/", "ad"}},
		{Directories: []string{"/etc", "/", "/etc/pam.d"}},
		{Names: []string{"shadow", "id_rsa"}},
		nil,
		{Equal: []string{"bad\x00path"}},
		{},
	}
	for path, want := range map[string]string{
		"/etc/shadow":          "012345",
		"/etc/shadow-":         "134",
		"/etc/pam.d/x.so":      "124",
		"/etc/pam.d/x/y":       "1",
		"/vmlinuz":             "4",
		"/home/me/.ssh/id_rsa": "35",
		"/rootless":            "14",
		"/usr/lib/x.so.6":      "",
		"/etc":                 "4",
		"/usr/..lib/.x":        "",
		// What is not in normal form is in all.
		"/usr//lib":   "01234578",
		"/usr/./lib":  "01234578",
		"/usr/../lib": "01234578",
		"/usr/..":     "01234578",
		"/usr/.":      "01234578",
		"/usr/lib/":   "01234578",
	} {
		var got strings.Builder
		for bits := recognise(t, sets, path); bits != 0; bits &= bits - 1 {
			got.WriteByte('0' + byte(mathbits.TrailingZeros64(bits)))
		}
		check(t, "sets of "+path, got.String(), want)
	}
}

func TestTheAutomatonAgreesWithAPlainComparison(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		sets := randomSets(r)
		a := newAutomaton(sets)
		encoded := a.encode(a.size())
		for range 200 {
			full := randomPath(r)
			got, _ := interpret(encoded, full)
			if want := containing(sets, full); got != want {
				t.Fatalf("%q is in the sets %b of %+v, want %b", full, got, sets, want)
			}
		}
	}
}

func TestAnAutomatonThatIsTooLargeIsNotUsed(t *testing.T) {
	var p Paths
	for i := range 3000 {
		p.Equal = append(p.Equal, "/"+strings.Repeat(string(rune('a'+i%26)), i%7)+string(rune('a'+i%25))+"/"+strings.Repeat("x", i%9))
	}
	a := newAutomaton([]*Paths{&p})
	check(t, "used with room", a.usable(a.size()), true)
	check(t, "used without room", a.usable(a.size()-1), false)
	_, ok := interpret(a.encode(a.size()-1), "/x")
	check(t, "marked as usable", ok, false)
}

func TestAnAutomatonThatTellsTooMuchIsNotUsed(t *testing.T) {
	// Every two clauses share a path that no other has.
	sets := make([]*Paths, MaxClauses)
	for i := range sets {
		sets[i] = &Paths{}
		for j := range MaxClauses {
			sets[i].Prefixes = append(sets[i].Prefixes, "/"+string(rune('A'+min(i, j)))+string(rune('A'+max(i, j))))
		}
	}
	a := newAutomaton(sets)
	tellings, _ := a.tellings()
	check(t, "too much is told", len(tellings) > maxTellings, true)
	check(t, "used", a.usable(maxRows), false)
}

func randomPath(r *rand.Rand) string {
	const letters = "ab/a./"
	b := []byte("/")
	for range r.IntN(14) {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

func randomSets(r *rand.Rand) []*Paths {
	var sets []*Paths
	for range 1 + r.IntN(5) {
		var p Paths
		for _, list := range []*[]string{&p.Equal, &p.Prefixes, &p.Suffixes, &p.Parts, &p.Directories, &p.Names} {
			for range r.IntN(3) {
				*list = append(*list, randomPath(r)[r.IntN(2):])
			}
		}
		p.Names = slices.DeleteFunc(p.Names, func(s string) bool { return s == "" || strings.Contains(s, "/") })
		for _, list := range []*[]string{&p.Prefixes, &p.Suffixes, &p.Parts} {
			*list = slices.DeleteFunc(*list, func(s string) bool { return s == "" })
		}
		for i, d := range p.Directories {
			p.Directories[i] = path.Clean("/" + d)
		}
		sets = append(sets, &p)
	}
	return sets
}

func FuzzAutomaton(f *testing.F) {
	f.Add("/etc/shadow", "/etc", "shadow", "/etc/shadow")
	f.Add("/a//b", "/", "b", "/a")
	f.Add("/\xff\x01", "\x01", "\xff", "")
	f.Fuzz(func(t *testing.T, full, a, b, c string) {
		if !strings.HasPrefix(full, "/") || strings.Contains(full+a+b+c, "\x00") || a == "" || b == "" || c == "" {
			return
		}
		recognise(t, []*Paths{
			{Equal: []string{a, b}},
			{Prefixes: []string{b, c}},
			{Suffixes: []string{a, c}},
			{Parts: []string{a}},
			{Parts: []string{b, c}},
			{Directories: []string{path.Clean("/" + a), path.Clean("/" + b)}},
			{Names: []string{path.Base("/" + a), path.Base("/" + c)}},
			nil,
		}, full)
	})
}

func BenchmarkBuildAutomaton(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a := newAutomaton([]*Paths{benchPaths})
		b.SetBytes(int64(len(a.encode(a.size()))))
	}
}
