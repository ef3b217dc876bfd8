package deliver

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
)

func TestAnAttemptIsJudgedByAllOfItsEvents(t *testing.T) {
	bad := outputs.Reject(errDown)
	for _, c := range []struct {
		name   string
		err    error
		want   Outcome
		failed int
	}{
		{"accepted", nil, Delivered, 0},
		{"not now", errDown, Failed, 3},
		{"not before", outputs.RetryAfter(time.Second, errDown), Failed, 3},
		{"never", bad, Rejected, 3},
		{"a partial without a part", outputs.Partial{}, Delivered, 0},
		{"some", outputs.Partial{0: errDown, 2: bad}, Partly, 2},
		{"all, never", outputs.Partial{0: bad, 1: bad, 2: bad}, Rejected, 3},
		{"all, one of them not now", outputs.Partial{0: bad, 1: errDown, 2: bad}, Failed, 3},
		{"a place outside", outputs.Partial{3: errDown}, Failed, 3},
		{"a place before", outputs.Partial{-1: errDown}, Failed, 3},
		{"a part without an error", outputs.Partial{1: nil}, Failed, 3},
		{"to be mended", outputs.Hold(errDown), Held, 3},
		{"all, one of them to be mended", outputs.Partial{0: bad, 1: outputs.Hold(errDown), 2: bad}, Held, 3},
		{"a wrapped partial", fmt.Errorf("bulk: %w", outputs.Partial{1: errDown}), Partly, 1},
	} {
		if got, failed := judge(c.err, 3); got != c.want || failed != c.failed {
			t.Errorf("%s: %s with %d failed, want %s with %d", c.name, got, failed, c.want, c.failed)
		}
	}
}

func TestTheDefaultsOfTheTagsAreTheDefaultSettings(t *testing.T) {
	var s struct {
		Settings
	}
	if _, err := config.Load(config.Source{}, config.Section{Path: "out", Into: []any{&s.Settings}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultSettings(), s.Settings); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := Options{Name: "out", Sender: &scripted{}, Source: newMemory(), Settings: DefaultSettings()}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no name":             func(o *Options) { o.Name = "" },
		"no sender":           func(o *Options) { o.Sender = nil },
		"no source":           func(o *Options) { o.Source = nil },
		"no timeout":          func(o *Options) { o.Settings.Timeout = 0 },
		"negative concurrent": func(o *Options) { o.Settings.MaxConcurrentRequests = -1 },
		"no first pause":      func(o *Options) { o.Settings.Retry.Initial = 0 },
		"max below initial":   func(o *Options) { o.Settings.Retry.Max = time.Millisecond },
		"negative age":        func(o *Options) { o.Settings.Retry.MaxAge = -1 },
		"negative size":       func(o *Options) { o.Settings.Batch.Size = -1 },
		"no bytes":            func(o *Options) { o.Settings.Batch.Bytes = 0 },
		"group interval":      func(o *Options) { o.Settings.GroupBy, o.Settings.GroupInterval = []string{"rule"}, 0 },
		"negative wait":       func(o *Options) { o.Settings.Batch.Age = -1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
