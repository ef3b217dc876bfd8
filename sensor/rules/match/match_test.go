package match_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/rules/match"
)

func TestGlobs(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "/a/.b", true},
		{"a*", "a", true},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyy", false},
		{"?", "/", true},
		{"?", "", false},
		{"??", "é", true},
		{"/home/*/.ssh/*", "/home/u/x/.ssh/id", true},
		{"*../*../*", "a/../b/../c", true},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[!a-c]x", "dx", true},
		{"[^a-c]x", "bx", false},
		{"[]a]", "]", true},
		{"[!]a]", "]", false},
		{"[a-]", "-", true},
		{"[[:digit:]_]*", "_x", true},
		{"[[:digit:]]", "a", false},
		{"[[:upper:][:space:]]", " ", true},
		{`[\]]`, "]", true},
		{"[a", "[a", true},
		{"[", "[", true},
		{"[a", "a", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`a\`, "a", false},
		{`\a`, "a", true},
	} {
		if got := match.NewGlob(tt.pattern, false).Match(tt.text); got != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

func TestGlobsMayIgnoreCase(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"A*z", "abcZ", true},
		{"[a-c]", "B", true},
		{"[A-C]", "b", true},
		{"[[:upper:]]", "a", true},
		{"é", "É", false},
		{"a", "b", false},
	} {
		if got := match.NewGlob(tt.pattern, true).Match(tt.text); got != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

func TestManyStarsTakeNoExponentialTime(t *testing.T) {
	g := match.NewGlob(strings.Repeat("*a", 50)+"b", false)
	if g.Match(strings.Repeat("a", 5000)) {
		t.Error("matches")
	}
}

func TestPathsMatchByComponent(t *testing.T) {
	for _, tt := range []struct {
		paths []string
		text  string
		want  bool
	}{
		{[]string{"/var"}, "/var", true},
		{[]string{"/var"}, "/var/log", true},
		{[]string{"/var"}, "/variable", false},
		{[]string{"/var/log"}, "/var", false},
		{[]string{"/"}, "/x", true},
		{[]string{"/"}, "", true},
		{[]string{""}, "x", true},
		{nil, "/", false},
		{[]string{"var//log/"}, "//var/log///x", true},
		{[]string{"/usr", "/usr/lib"}, "/usr/bin", true},
		{[]string{"/usr/lib", "/usr"}, "/usr/bin", true},
		{[]string{"/home/*/.ssh"}, "/home/u/.ssh/id", true},
		{[]string{"/home/*/.ssh"}, "/home/u/v/.ssh/id", false},
		{[]string{"/a/x", "/*/y"}, "/a/y", true},
		{[]string{"/*/x", "/?/y"}, "/b/y", true},
		{[]string{"/[ab]/x"}, "/b/x", true},
	} {
		if got := match.NewPaths(tt.paths).Match(tt.text); got != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.paths, tt.text, got, tt.want)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"a*", "ab", true},
		{"*b", "ab", true},
		{"a*a", "a", false},
		{"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a?[b", "a?[b", true},
		{"a?[b", "ax[b", false},
	} {
		if got := match.Wildcard(tt.pattern, tt.text); got != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

func TestCaseIsFoldedForASCIIOnly(t *testing.T) {
	if got, want := match.Lower("AbÉ\xff"), "abÉ\xff"; got != want {
		t.Errorf("lower %q, want %q", got, want)
	}
	if got, want := match.Upper("AbÉ\xff"), "ABÉ\xff"; got != want {
		t.Errorf("upper %q, want %q", got, want)
	}
}

// FuzzSets holds the sets against a search one by one.
func FuzzSets(f *testing.F) {
	f.Add("a,ab,b,,abc", "abcd")
	f.Add("/etc/,/etc/ssh,/usr", "/etc/ssh/x")
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, list, text string) {
		items := strings.Split(list, ",")
		for _, n := range []int{1, 3, len(items)} {
			items := items[:min(n, len(items))]
			has := func(f func(text, item string) bool) bool {
				return slices.ContainsFunc(items, func(item string) bool { return f(text, item) })
			}
			if got, want := match.NewWords(items).Match(text), slices.Contains(items, text); got != want {
				t.Errorf("%q in %q: %v", text, items, got)
			}
			if got, want := match.NewPrefixes(items).Match(text), has(strings.HasPrefix); got != want {
				t.Errorf("%q begins with one of %q: %v", text, items, got)
			}
			if got, want := match.NewSuffixes(items).Match(text), has(strings.HasSuffix); got != want {
				t.Errorf("%q ends with one of %q: %v", text, items, got)
			}
			fold := func(text, item string) bool { return strings.Contains(match.Lower(text), match.Lower(item)) }
			if got, want := match.ContainsFold(text, match.Lower(items[0])), fold(text, items[0]); got != want {
				t.Errorf("%q contains %q: %v", text, items[0], got)
			}
		}
	})
}

// FuzzGlob holds globs against the standard library's, where the two mean the same.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*a*b*", "ab")
	f.Add("[a-c]*", "b")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := match.NewGlob(pattern, false).Match(text)
		match.NewGlob(pattern, true).Match(text)
		match.NewPaths([]string{pattern}).Match(text)
		if strings.ContainsAny(pattern, `[]\`) || strings.Contains(text, "/") {
			return
		}
		for i := range len(pattern + text) {
			if (pattern + text)[i] >= 0x80 {
				return
			}
		}
		if want, err := path.Match(pattern, text); err == nil && got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, text, got, want)
		}
	})
}

func BenchmarkWords(b *testing.B) {
	words := strings.Fields("ash bash csh ksh sh tcsh zsh dash nginx httpd sshd systemd cron crond")
	set := match.NewWords(words)
	for name, text := range map[string]string{"hit": "systemd", "miss": "postgres"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Match(text)
			}
		})
	}
}

func BenchmarkGlob(b *testing.B) {
	g := match.NewGlob("/home/*/.ssh/*", false)
	b.ReportAllocs()
	for b.Loop() {
		g.Match("/home/user/projects/.ssh/config")
	}
}
