package falcotext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestPlainTextShowsWhatTheFormatSays(t *testing.T) {
	e := outputstest.Plain()
	const details = "rule: Write below binary dir\npriority: Error\nsource: syscall\nhostname: node-1\n" +
		"tags: T1059, mitre_persistence\nfd.name: /bin/hack\nk8s.ns.name: ns1\nproc.aname[2]: bash\n" +
		"proc.cmdline: touch /bin/hack\ntime: 2019-05-17 15:31:56.746609046 +0000 UTC"
	for format, want := range map[string]string{
		"text":   e.Output,
		"fields": details,
		"all":    e.Output + "\n\n" + details,
	} {
		if got := falcotext.Plain(e, format); got != want {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
	e.Output, e.Hostname, e.Tags = "", "", nil
	if got := falcotext.Plain(e, "all"); !strings.HasPrefix(got, "rule: ") || strings.Contains(got, "hostname") || strings.Contains(got, "tags") {
		t.Errorf("what the event lacks shows in %q", got)
	}
}

func TestEnumeratingDetailsCanStopAnywhere(t *testing.T) {
	for n := range 10 {
		seen := 0
		for range falcotext.Details(outputstest.Plain()) {
			if seen == n {
				break
			}
			seen++
		}
		if seen != n {
			t.Errorf("stopped after %d, want %d", seen, n)
		}
	}
}

func TestACutToBytesEndsOnACharacter(t *testing.T) {
	for s, want := range map[string]string{
		"":               "",
		"abcdefgh":       "abcdefgh",
		"abcdefghi":      "abcde…",
		"éééé":           "éééé",
		"ééééé":          "éé…",
		"日本語":            "日…",
		"a\u65e5\u65e5x": "a\u65e5\u65e5x",
	} {
		got := falcotext.CutBytes(s, 8)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("%q is cut to %q, want %q", s, got, want)
		}
	}
}
