package sensor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/runtimes"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
	"github.com/saker-security/saker/sensor/rules"
)

const waitingRules = `
- rule: Unknown image
  desc: d
  condition: evt.type = execve and not container.image.repository in (good)
  output: "%container.name ran %proc.name as %proc.pname"
  priority: NOTICE
- rule: Never
  desc: d
  condition: evt.type = execve and proc.name = nothing and container.image.repository = bad
  output: x
  priority: NOTICE
`

// room is a metadata without runtimes: the test answers in their place.
type room struct {
	*metadata
	log       bytes.Buffer
	evaluator *rules.Evaluator
	mu        sync.Mutex
	alerts    []event.Event
}

// inRoom runs the test in fake time. Alerts wait for half a second.
func inRoom(t *testing.T, test func(t *testing.T, r *room)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		content := waitingRules
		set, _, err := rules.Load([]rules.File{{Name: "r.yaml", Content: []byte(content)}},
			map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}, rules.Options{SuggestedOutput: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &room{evaluator: set.NewEvaluator(syscalls.SourceName)}
		resolver := container.NewResolver(0)
		source := syscalls.New(syscalls.Options{Containers: resolver})
		r.metadata = newMetadata(Containers{MetadataTimeout: 500 * time.Millisecond}, slog.New(slog.NewTextHandler(&r.log, nil)), resolver, source,
			func(m rules.Match, at time.Time, missing absence) {
				alert := m.Event(at, "host")
				missing.mark(&alert)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.alerts = append(r.alerts, alert)
			})
		resolver.Serve(r.resolved)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.letGo(ctx) })
		test(t, r)
		stop()
		running.Wait()
		if s := r.stats(); s.Waiting != 0 || r.bytes != 0 || len(r.byContainer) != 0 {
			t.Errorf("something still waits: %+v, %d bytes, %v", s, r.bytes, r.byContainer)
		}
	})
}

// exec is a program that starts in the container.
func (r *room) exec(id container.ID, name string) {
	ev := r.source.Event(&probe.Record{Kind: probe.KindExecve, Time: 1})
	ev.Proc = &process.Process{Container: id, Comm: name, Image: &process.Image{}}
	r.evaluate(r.evaluator, ev, time.Unix(1, 0))
	ev.Proc.Comm = "overwritten"
}

// seen returns what the alerts say of their containers.
func (r *room) seen() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, a := range r.alerts {
		line := a.Output[strings.Index(a.Output, "Notice ")+len("Notice ") : strings.Index(a.Output, " as ")]
		for _, f := range a.Fields {
			if f.Name == "container.name" || f.Name == metadataField {
				line += " " + f.Value.Text()
			}
		}
		out = append(out, line)
	}
	return out
}

func cid(n int) container.ID {
	return container.ID{Full: fmt.Sprintf("%064x", n), Engine: container.Docker}
}

func (r *room) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.seen()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnAlertWaitsForWhatItSaysOfItsContainer(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.exec(container.ID{}, "host")
		r.expect(t, "host ran host host")
		r.exec(cid(1), "sh")
		r.expect(t, "host ran host host")
		time.Sleep(10 * time.Millisecond)
		r.resolver.Store(&container.Info{ID: cid(1), Name: "web", ImageRepository: "bad"})
		r.expect(t, "host ran host host", "web ran sh web")
		r.exec(cid(1), "id") // known by now
		r.expect(t, "host ran host host", "web ran sh web", "web ran id web")
	})
}

func TestAnExceptionForAnImageHoldsForItsFirstProcess(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.exec(cid(1), "sh")
		r.resolver.Store(&container.Info{ID: cid(1), Name: "web", ImageRepository: "good"})
		time.Sleep(time.Minute)
		r.expect(t)
	})
}

func TestAnAlertGoesWithoutAndSaysWhy(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.exec(cid(1), "slow")
		r.exec(cid(2), "ghost")
		r.resolver.Fail(cid(2))
		r.expect(t, "<NA> ran ghost unknown null")
		r.exec(cid(2), "again") // nobody is asked again so soon, and nothing waits
		r.expect(t, "<NA> ran ghost unknown null", "<NA> ran again unknown null")
		time.Sleep(499 * time.Millisecond)
		r.expect(t, "<NA> ran ghost unknown null", "<NA> ran again unknown null")
		time.Sleep(time.Millisecond)
		r.expect(t, "<NA> ran ghost unknown null", "<NA> ran again unknown null", "<NA> ran slow timeout null")
		if s := r.stats(); s.Held != 2 || s.Unknown != 2 || s.TimedOut != 1 {
			t.Errorf("counted: %+v", s)
		}
		time.Sleep(sayEvery)
		synctest.Wait()
		if text := r.log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "no_answer_in_time=1 no_runtime_knows_it=2") {
			t.Errorf("logged: %s", text)
		}
	})
}

func TestWaitingHasABound(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		for range maxWaiting + 10 {
			r.exec(cid(1), "sh")
		}
		if got := len(r.seen()); got != 10 || r.seen()[0] != "<NA> ran sh busy null" {
			t.Errorf("%d alerts did not wait: %v", got, r.seen()[:1])
		}
		r.resolver.Store(&container.Info{ID: cid(1), Name: "web"})
		if got := len(r.seen()); got != maxWaiting+10 {
			t.Errorf("there are %d alerts", got)
		}
	})
}

func TestWhatWaitsAtTheEndIsNotLost(t *testing.T) {
	inRoom(t, func(t *testing.T, r *room) {
		r.exec(cid(1), "sh")
		ctx, stop := context.WithCancel(t.Context())
		stop()
		r.letGo(ctx)
		r.expect(t, "<NA> ran sh timeout null")
		r.exec(cid(1), "last") // what comes now does not wait
		r.expect(t, "<NA> ran sh timeout null", "<NA> ran last busy null")
	})
}

func TestSettingsAboutContainersAreChecked(t *testing.T) {
	good := Containers{Engines: runtimes.Default(), MetadataTimeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, d := range []time.Duration{-1, time.Hour} {
		bad := good
		bad.MetadataTimeout = d
		if err := bad.Validate(); err == nil {
			t.Errorf("a timeout of %v is not refused", d)
		}
	}
}

func BenchmarkEvaluateInAKnownContainer(b *testing.B) {
	set, _, err := rules.Load([]rules.File{{Name: "r.yaml", Content: []byte(waitingRules)}},
		map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}, rules.Options{})
	if err != nil {
		b.Fatal(err)
	}
	resolver := container.NewResolver(0)
	resolver.Store(&container.Info{ID: cid(1), ImageRepository: "good"})
	source := syscalls.New(syscalls.Options{Containers: resolver})
	m := newMetadata(Containers{}, slog.New(slog.DiscardHandler), resolver, source, func(rules.Match, time.Time, absence) {})
	e := set.NewEvaluator(syscalls.SourceName)
	rec := &probe.Record{Kind: probe.KindExecve, Time: 1}
	b.ReportAllocs()
	for b.Loop() {
		ev := source.Event(rec)
		ev.Proc.Container = cid1
		m.evaluate(e, ev, time.Time{})
	}
}

var cid1 = cid(1)
