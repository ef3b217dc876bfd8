package interest_test

import (
	"slices"
	"testing"

	"github.com/saker-security/saker/sensor/probe"
)

func TestUncommonCallsAreReportedOnlyWhereARuleNamesThem(t *testing.T) {
	for _, tt := range []struct {
		condition     string
		read, threads bool
	}{
		{"evt.type = openat", false, false},
		{"proc.name = cat", false, false},
		{"evt.type != openat", false, false},
		{"not evt.type in (read, clone)", false, false},
		{"evt.type = read", true, false},
		{"syscall.type in (read, fork)", true, true},
		{"proc.name = cat or evt.type = read", true, false},
		{"evt.type.is.read = 1", true, false},
		{"evt.type in (clone3, openat)", false, true},
	} {
		in, _ := derive(t, tt.condition)
		if got := slices.Contains(in.Kinds, probe.KindRead); got != tt.read {
			t.Errorf("%q: read is reported: %v, want %v", tt.condition, got, tt.read)
		}
		if in.Threads != tt.threads {
			t.Errorf("%q: threads are reported: %v, want %v", tt.condition, in.Threads, tt.threads)
		}
	}
}
