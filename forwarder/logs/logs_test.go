package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// buffer is a log that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// record returns a logger and what reads the lines it has written.
func record() (*slog.Logger, func() []string) {
	out := &buffer{}
	text := slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(Summarize(text)), func() []string {
		lines := strings.Split(strings.TrimSpace(out.take()), "\n")
		if lines[0] == "" {
			return nil
		}
		return lines
	}
}

func want(t *testing.T, what string, got []string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestWhatRepeatsIsSaidOnceAndThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record()
		for i := range 100 {
			log.Error("it fails", "error", fmt.Errorf("read 127.0.0.1:%d: reset", 4000+i), "after", time.Duration(i), "tries", i)
		}
		want(t, "at once", lines(), `level=ERROR msg="it fails" error="read 127.0.0.1:4000: reset" after=0s tries=0`)
		after(Interval)
		want(t, "after the interval", lines(), `level=ERROR msg="it fails" error="read 127.0.0.1:4099: reset" after=99ns tries=99 repeated=99`)
		log.Error("it fails", "error", "read 127.0.0.1:1: reset", "after", 1, "tries", 1)
		want(t, "while it goes on", lines())
		after(Interval)
		want(t, "after the next interval", lines(), `level=ERROR msg="it fails" error="read 127.0.0.1:1: reset" after=1 tries=1 repeated=1`)
		after(2 * Interval)
		want(t, "in peace", lines())
		log.Error("it fails", "error", "read: reset", "after", 1, "tries", 1)
		if got := lines(); len(got) != 1 {
			t.Errorf("after a peace the first is %q", got)
		}
		after(Interval)
	})
}

func TestLinesThatDifferAreAllWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record()
		log.Warn("a", "output", "slack1")
		log.Warn("a", "output", "slack2")
		log.Error("a", "output", "slack1")
		log.Warn("b", "output", "slack1")
		log.Warn("a", "error", errors.New("x"))
		log.Warn("a", "error", errors.New("y"))
		log.With("output", "slack3").Warn("a")
		log.With("output", "slack4").Warn("a")
		log.WithGroup("g").Warn("a", "output", "slack1")
		log.Warn("a", slog.Group("h", "output", "slack1"))
		if got := lines(); len(got) != 10 {
			t.Errorf("got %q", got)
		}
		log.With("output", "slack4").Warn("a")
		want(t, "again", lines())
		after(Interval)
		want(t, "the sum", lines(), `level=WARN msg=a output=slack4 repeated=1`)
		after(Interval)
	})
}

func TestWhatIsNoWarningPasses(t *testing.T) {
	log, lines := record()
	for range 3 {
		log.Info("started")
		log.Debug("detail")
	}
	if got := lines(); len(got) != 6 {
		t.Errorf("got %q", got)
	}
}

func TestAnAnswerIsWrittenAlsoWhenItRepeats(t *testing.T) {
	log, lines := record()
	for range 3 {
		log.ErrorContext(Answer(t.Context()), "the file is wrong")
	}
	if got := lines(); len(got) != 3 {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsSaidOnceAMinuteIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record()
		for range 5 {
			log.Warn("still", "attempts", 7)
			want(t, "each time", lines(), "level=WARN msg=still attempts=7")
			after(time.Minute)
		}
	})
}

func TestTheNumberOfKnownLinesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record()
		for round := range 2 {
			for i := range maxLines + 50 {
				log.Warn("a", "output", fmt.Sprint(i))
			}
			if got, want := len(lines()), []int{maxLines + 50, 50}[round]; got != want {
				t.Errorf("round %d: %d lines, want %d", round, got, want)
			}
		}
		long := strings.Repeat("x", 1<<20)
		log.Warn("b", "output", long)
		after(3 * Interval)
		h := log.Handler().(handler)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.known) != 0 {
			t.Errorf("%d lines are known for ever", len(h.known))
		}
	})
}

func TestLinesFromManyGoroutinesAreAllCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { log.Warn("a") })
		}
		wg.Wait()
		after(Interval)
		want(t, "both lines", lines(), "level=WARN msg=a", "level=WARN msg=a repeated=49")
		after(Interval)
	})
}

func BenchmarkARepetition(b *testing.B) {
	log := slog.New(Summarize(slog.NewTextHandler(new(bytes.Buffer), nil)))
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("it fails", "output", "slack", "error", errors.New("no"))
	}
}
