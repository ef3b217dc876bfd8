package route

import (
	"errors"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
)

func FuzzMatch(f *testing.F) {
	e := shell(f)
	alert := string(e.AppendJSON(nil))
	for _, text := range mistakes {
		f.Add(text, alert)
	}
	for _, text := range []string{
		`priority >= NOTICE && fields["k8s.ns.name"] == "dev" && !(rule in ["Noisy rule", "Other rule"])`,
		`has_tag("a") || has(fields.x) || fields["labels"].ports[0] == 80`,
		`tags.exists(t, t.startsWith("mitre_")) ? time.getHours() < 8 : size(fields) > 3`,
		`glob("a*?", field("x")) && cidr("fd00::/8", fields["fd.sip"])`,
		`fields.all(n, fields[n] != null) && [1, 2.5, 3u].exists(x, x == fields["proc.pid"])`,
		`{"a": [tags]}.a[0] == tags && b"x" == bytes(rule) && duration("1h") > duration("1m")`,
		`string(time) + string(fields["ratio"]) == rule.trim().lowerAscii()`,
	} {
		f.Add(text, alert)
	}
	f.Fuzz(func(t *testing.T, text, alert string) {
		m, err := Compile(text)
		if err != nil {
			c, ok := errors.AsType[*CompileError](err)
			if !ok {
				t.Fatalf("%q: an error of type %T: %v", text, err, err)
			}
			if len(c.Mistakes) == 0 || strings.TrimSpace(err.Error()) == "" {
				t.Fatalf("%q: the error says nothing", text)
			}
			return
		}
		e, err := event.Decode([]byte(alert))
		if err != nil {
			return
		}
		pass, err := m.Eval(&e)
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Fatalf("%q: %v", text, err)
		}
		if explained, why := m.Explain(&e); explained != (pass || err != nil) || why == "" {
			t.Fatalf("%q: Eval says %v, %v and Explain %v, %s", text, pass, err, explained, why)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "aXXbyc")
	f.Add(`*\*`, "x*")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 1000 {
			return
		}
		if got, want := glob(pattern, text), slowGlob(pattern, text); got != want {
			t.Fatalf("glob(%q, %q) = %v", pattern, text, got)
		}
	})
}

// slowGlob is glob written down as it is defined.
func slowGlob(pattern, text string) bool {
	reach := map[int]bool{0: true}
	for p := 0; p < len(pattern); p++ {
		next := map[int]bool{}
		for i := range reach {
			if pattern[p] == '*' {
				for j := i; j <= len(text); j++ {
					next[j] = true
				}
			} else if np, ni, ok := literalStep(pattern, p, text, i); ok {
				next[ni] = true
				_ = np
			}
		}
		if pattern[p] == '\\' && p+1 < len(pattern) {
			p++
		}
		reach = next
	}
	return reach[len(text)]
}

func literalStep(pattern string, p int, text string, i int) (int, int, bool) {
	if i >= len(text) {
		return 0, 0, false
	}
	return globStep(pattern, p, text, i)
}
