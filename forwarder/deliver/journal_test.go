package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/embedded"
	"github.com/saker-security/saker/outputs"
)

// These tests run workers on a real journal, in real time.

func openJournal(t testing.TB, dir string) *embedded.Journal {
	t.Helper()
	cfg := journal.DefaultConfig()
	cfg.MinFree = 0
	j, err := embedded.Open(context.Background(), dir, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(t testing.TB, j *embedded.Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Error(err)
	}
}

// start runs a worker on the cursor called name; the function returned stops it.
func start(t testing.TB, j *embedded.Journal, name string, sender outputs.Sender, change func(*Options)) (*Worker, func()) {
	t.Helper()
	c, err := j.Consumer(context.Background(), name, event.None)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Name: name, Sender: sender, Source: c, Batch: 1, Settings: DefaultSettings(),
		Log: slog.New(slog.DiscardHandler), Grace: time.Second,
	}
	o.Settings.MaxConcurrentRequests = 1
	o.Settings.Retry.Initial, o.Settings.Retry.Max = time.Millisecond, 5*time.Millisecond
	if change != nil {
		change(&o)
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func events(from, to int) []event.Event {
	all := named(from, to)
	for i := range all {
		all[i].UUID, all[i].Time = uuid.NewString(), time.Now()
	}
	return all
}

func appendTo(t testing.TB, j *embedded.Journal, es []event.Event) {
	t.Helper()
	if err := j.Append(context.Background(), es); err != nil {
		t.Fatal(err)
	}
}

// collector is a Sender that accepts everything and tells when it has n events.
type collector struct {
	mu   sync.Mutex
	got  []string
	n    int
	full chan struct{}
}

func collect(n int) *collector { return &collector{n: n, full: make(chan struct{})} }

func (c *collector) Send(_ context.Context, batch []event.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		if c.got = append(c.got, e.Output); len(c.got) == c.n {
			close(c.full)
		}
	}
	return nil
}

func (c *collector) wait(t testing.TB) []string {
	t.Helper()
	select {
	case <-c.full:
	case <-time.After(30 * time.Second):
		t.Error("the events didn't come")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func TestWorkersDeliverFromTheJournalAndGoOnAfterARestartWithoutRepeating(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	first := collect(100)
	w, stop := start(t, j, "out", first, nil)
	appendTo(t, j, events(1, 100))
	first.wait(t)
	stop()
	if s := w.State(); s.Delivered != 100 || s.InFlight != 0 {
		t.Errorf("state is %+v", s)
	}
	appendTo(t, j, events(101, 150))
	closeJournal(t, j)

	j = openJournal(t, dir)
	second := collect(51)
	w, stop = start(t, j, "out", second, nil)
	appendTo(t, j, events(151, 151))
	got := second.wait(t)
	stop()
	if !slices.Equal(got, names(101, 151)) {
		t.Errorf("after the restart came %q", got)
	}
	if s := w.State(); s.Redelivered != 0 {
		t.Errorf("%d events came twice", s.Redelivered)
	}
}

func TestAStoppedWorkersEventsComeAgainInOrder(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	began := make(chan struct{}, 1000)
	_, stop := start(t, j, "out", senderFunc(func(context.Context, []event.Event) error {
		began <- struct{}{}
		return syscall.ECONNREFUSED
	}), nil)
	appendTo(t, j, events(1, 50))
	<-began
	stop()
	closeJournal(t, j)

	j = openJournal(t, dir)
	c := collect(60)
	_, stop = start(t, j, "out", c, nil)
	appendTo(t, j, events(51, 60))
	if got := c.wait(t); !slices.Equal(got, names(1, 60)) {
		t.Errorf("got %q", got)
	}
	stop()
}

func TestDeadLettersAreInTheJournal(t *testing.T) {
	j := openJournal(t, t.TempDir())
	seen := collect(8)
	_, stop := start(t, j, "out", senderFunc(func(ctx context.Context, batch []event.Event) error {
		for _, e := range batch {
			if e.Output == "e3" || e.Output == "e7" {
				return outputs.Reject(errors.New("400 Bad Request"))
			}
		}
		return seen.Send(ctx, batch)
	}), func(o *Options) { o.Batch = 10 })
	want := events(1, 10)
	appendTo(t, j, want)
	seen.wait(t)
	stop()
	letters, err := j.DeadLetters().List(t.Context(), journal.DeadLetterQuery{Output: "out"})
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for i, place := range []int{2, 6} {
		l := letters[i]
		if l.Event.UUID != want[place].UUID || l.Event.Output != want[place].Output || l.LastError != "400 Bad Request" || l.Sequence != uint64(place+1) || l.Attempts == 0 {
			t.Errorf("letter %d is %+v", i, l)
		}
	}
}

type senderFunc func(context.Context, []event.Event) error

func (f senderFunc) Send(ctx context.Context, batch []event.Event) error { return f(ctx, batch) }

// BenchmarkDeliver is the way from the journal through a worker to a Sender that does
// nothing.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct{ batch, concurrent int }{{1, 1}, {1, 8}, {100, 1}, {500, 1}} {
		b.Run(fmt.Sprintf("batch=%d/concurrent=%d", c.batch, c.concurrent), func(b *testing.B) {
			j := openJournal(b, b.TempDir())
			done := collect(b.N)
			// Make the cursor first, so that it has all events.
			_, stop := start(b, j, "out", done, nil)
			stop()
			for n := 0; n < b.N; n += 1000 {
				all := events(n+1, min(n+1000, b.N))
				for i := range all {
					all[i].Fields = []event.Field{{Name: "proc.cmdline", Value: event.StringValue("cat /etc/shadow --with --a --few --more --words --to --make --it --of --the --usual --size")}}
				}
				appendTo(b, j, all)
			}
			b.ReportAllocs()
			cpu := cpuTime()
			b.ResetTimer()
			_, stop = start(b, j, "out", done, func(o *Options) {
				o.Batch, o.Settings.MaxConcurrentRequests = c.batch, c.concurrent
			})
			done.wait(b)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/event")
			stop()
		})
	}
}
