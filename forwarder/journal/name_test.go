package journal_test

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/forwarder/journal"
)

func TestNamesSurviveEscapingAndStayDifferent(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"slack", "aws.lambda", "aws-lambda", "a=2eb", "a.b", "é b>*/\\", "=", "==2", ".", "..", "=2e"} {
		s, err := journal.EscapeName(name)
		if err != nil || journal.UnescapeName(s) != name {
			t.Errorf("%q becomes %q and %q again, %v", name, s, journal.UnescapeName(s), err)
		}
		if strings.ContainsAny(s, ".*> /\\") {
			t.Errorf("%q becomes %q, which is no part of a subject or a path", name, s)
		}
		if other, taken := seen[s]; taken {
			t.Errorf("%q and %q both become %q", name, other, s)
		}
		seen[s] = name
	}
	for _, name := range []string{"", strings.Repeat("x", 65)} {
		if s, err := journal.EscapeName(name); err == nil {
			t.Errorf("%q becomes %q and no error", name, s)
		}
	}
}

func FuzzUnescapeName(f *testing.F) {
	f.Add("aws=2elambda")
	f.Add("=")
	f.Add("a=2")
	f.Fuzz(func(t *testing.T, s string) {
		_ = journal.UnescapeName(s)
		if escaped, err := journal.EscapeName(s); err == nil && journal.UnescapeName(escaped) != s {
			t.Errorf("%q becomes %q and %q again", s, escaped, journal.UnescapeName(escaped))
		}
	})
}
