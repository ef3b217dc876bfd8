package trace

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a collector.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*wire.Span
	services []string
	headers  http.Header
	paths    []string
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		unpacked, err := gzip.NewReader(q.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(unpacked)
		var request collector.ExportTraceServiceRequest
		if err = errors.Join(err, proto.Unmarshal(body, &request)); err != nil {
			t.Error(err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.paths = q.Header, append(r.paths, q.URL.Path)
		for _, of := range request.GetResourceSpans() {
			for _, a := range of.GetResource().GetAttributes() {
				r.services = append(r.services, a.GetKey()+"="+a.GetValue().GetStringValue())
			}
			for _, scope := range of.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func settings(endpoint string) Config {
	return Config{Endpoint: endpoint, SampleRatio: 1, ServiceName: "saker", CheckCert: true}
}

func tracer(t *testing.T, c Config) *Tracer {
	t.Helper()
	traces, err := New(c, Options{Version: "v9", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = traces.Close(context.Background()) })
	return traces
}

func closed(t *testing.T, traces *Tracer) {
	t.Helper()
	if err := traces.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// flow is what stands behind the Tracer: it counts what is passed on.
type flow struct {
	accepted, rejected, attempted int
	problem                       error
}

func (f *flow) Accepted([]event.Event, string, time.Duration)  { f.accepted++ }
func (f *flow) Rejected(ingest.Reason, string)                 { f.rejected++ }
func (f *flow) Attempted(deliver.Attempt)                      { f.attempted++ }
func (f *flow) Append(context.Context, []event.Event) error    { return f.problem }
func (f *flow) Bury(context.Context, journal.DeadLetter) error { return f.problem }
func (f *flow) Fetch(context.Context, int, int, time.Duration) ([]journal.Delivery, error) {
	return []journal.Delivery{{}}, f.problem
}

// show writes spans in their order of beginning, with the names of the traces' events.
func show(t *testing.T, spans []*wire.Span, events map[string]string) string {
	t.Helper()
	slices.SortStableFunc(spans, func(a, b *wire.Span) int { return strings.Compare(a.GetName(), b.GetName()) })
	roots := map[string]string{}
	for _, s := range spans {
		if len(s.GetParentSpanId()) == 0 {
			roots[string(s.GetSpanId())] = s.GetName()
		}
	}
	var out strings.Builder
	for _, s := range spans {
		id, err := uuid.FromBytes(s.GetTraceId())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s: %s", events[id.String()], s.GetName())
		if parent := s.GetParentSpanId(); len(parent) > 0 {
			fmt.Fprintf(&out, " below %s", roots[string(parent)])
		}
		fmt.Fprintf(&out, " %s %s", strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
			time.Duration(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano()).Round(time.Second))
		for _, a := range s.GetAttributes() {
			if v := a.GetValue(); v.GetStringValue() != "" {
				fmt.Fprintf(&out, " %s=%s", a.GetKey(), v.GetStringValue())
			} else {
				fmt.Fprintf(&out, " %s=%d", a.GetKey(), v.GetIntValue())
			}
		}
		if s.GetStatus().GetCode() == wire.Status_STATUS_CODE_ERROR {
			out.WriteString(" error")
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestOneEventsWayIsOneTraceUnderItsUUID(t *testing.T) {
	r := receive(t)
	traces := tracer(t, settings(r.URL))
	f := &flow{}
	one := event.Event{UUID: uuid.NewString(), Rule: "one", Priority: event.Warning, Source: "syscall"}
	two := event.Event{UUID: uuid.NewString(), Rule: "two", Priority: event.Debug}
	none := event.Event{Rule: "without a UUID"}
	batch := []event.Event{one, two, none}
	ctx := t.Context()

	if err := traces.Journal(f).Append(ctx, batch); err != nil {
		t.Fatal(err)
	}
	traces.Ingest(f).Accepted(batch, "node", 3*time.Second)
	traces.Ingest(f).Rejected(ingest.ReasonInvalid, "")
	out := traces.Deliver(f)
	began := time.Now()
	out.Attempted(deliver.Attempt{
		Output: "slack", Outcome: deliver.Failed, Batch: batch[:1], Events: 1, Failed: 1, Try: 1, Began: began, Latency: time.Second,
		Err: fmt.Errorf("post with the token s3cret: %w", context.DeadlineExceeded),
	})
	out.Attempted(deliver.Attempt{
		Output: "slack", Outcome: deliver.Partly, Batch: batch, Events: 3, Failed: 1, Try: 2, Began: began, Latency: time.Second,
		Err: outputs.Partial{1: outputs.Reject(errors.New("s3cret"))},
	})
	if err := traces.Source(f).Bury(ctx, journal.DeadLetter{Output: "slack", Event: two, Attempts: 2, LastError: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	closed(t, traces)

	if f.accepted != 1 || f.rejected != 1 || f.attempted != 2 {
		t.Errorf("passed on: %+v", f)
	}
	want := `one: append below ingest internal 0s saker.batch.size=3
two: append below ingest internal 0s saker.batch.size=3
two: dead letter below ingest internal 0s saker.output=slack saker.attempt=2 error.type=given_up error
one: deliver slack below ingest client 1s saker.output=slack saker.outcome=failed saker.attempt=1 saker.batch.size=1 error.type=timeout error
one: deliver slack below ingest client 1s saker.output=slack saker.outcome=delivered saker.attempt=2 saker.batch.size=3
two: deliver slack below ingest client 1s saker.output=slack saker.outcome=rejected saker.attempt=2 saker.batch.size=3 error.type=other error
one: ingest server 3s saker.rule=one saker.priority=warning saker.source=syscall saker.batch.size=3 saker.sender=node
two: ingest server 3s saker.rule=two saker.priority=debug saker.source= saker.batch.size=3 saker.sender=node
`
	got := strings.ReplaceAll(show(t, r.spans, map[string]string{one.UUID: "one", two.UUID: "two"}), "saker.source=0", "saker.source=")
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, s := range r.spans {
		if strings.Contains(s.String(), "s3cret") {
			t.Errorf("a secret is in %v", s)
		}
	}
	if exported, dropped := traces.Counts(); exported != 8 || dropped != 0 {
		t.Errorf("%d exported, %d dropped", exported, dropped)
	}
	if !slices.Contains(r.services, "service.name=saker") || !slices.Contains(r.services, "service.version=v9") {
		t.Errorf("the service is %v", r.services)
	}
}

func TestWithoutAnEndpointNothingStandsInTheWay(t *testing.T) {
	traces, err := New(Config{}, Options{})
	if err != nil || traces != nil {
		t.Fatalf("got %v, %v", traces, err)
	}
	f := &flow{}
	if traces.Ingest(f) != ingest.Observer(f) || traces.Journal(f) != ingest.Journal(f) ||
		traces.Deliver(f) != deliver.Observer(f) || traces.Source(f) != deliver.Source(f) {
		t.Error("something stands in the way")
	}
	if exported, dropped := traces.Counts(); exported+dropped != 0 || traces.Close(t.Context()) != nil {
		t.Error("no traces are not nothing")
	}
}

func TestAllForwardersTraceTheSameShareOfTheEvents(t *testing.T) {
	r := receive(t)
	const all = 20_000
	for _, ratio := range []float64{0.01, 0.25, 0.999} {
		c := settings(r.URL)
		c.SampleRatio = ratio
		one, two := tracer(t, c), tracer(t, c)
		n := 0
		for i := range all {
			id := uuid.New()
			if i%2 == 0 { // of one machine, as UUIDs of version 1 are
				id = uuid.UUID{byte(i), byte(i >> 8), 3, 4, 5, 6, 0x11, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}
			}
			a, first := one.identify(id.String())
			b, second := two.identify(strings.ToUpper(id.String()))
			if first != second || a != b {
				t.Fatalf("%s is traced by one only", id)
			}
			if first {
				n++
			}
		}
		if got := float64(n) / all; math.Abs(got-ratio) > 0.02 {
			t.Errorf("%v of the events are traced, want %v", got, ratio)
		}
		closed(t, one)
		closed(t, two)
	}
}

func TestAnIdThatIsNoUUIDIsNotTraced(t *testing.T) {
	traces := tracer(t, settings("http://127.0.0.1:1"))
	for _, id := range []string{"", "x", uuid.Nil.String(), "3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be11"} {
		if _, ok := traces.identify(id); ok {
			t.Errorf("%q is traced", id)
		}
	}
}

func TestHeadersAndPathReachTheCollector(t *testing.T) {
	r := receive(t)
	for endpoint, path := range map[string]string{
		r.URL: "/v1/traces", r.URL + "/": "/v1/traces", r.URL + "/otlp/in": "/otlp/in",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=foreign")
		c := settings(endpoint)
		c.Headers = map[string]config.Secret{"Authorization": config.NewSecret("Bearer s3cret")}
		traces := tracer(t, c)
		traces.Ingest(&flow{}).Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
		closed(t, traces)
		if r.paths[len(r.paths)-1] != path || r.headers.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("%s: got %s with %q", endpoint, r.paths[len(r.paths)-1], r.headers.Get("Authorization"))
		}
	}
}

func TestTheRootsIdFollowsFromTheUUID(t *testing.T) {
	traces := tracer(t, settings("http://127.0.0.1:1"))
	id, ok := traces.identify("3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be111")
	if !ok || hex.EncodeToString(id.trace[:]) != "3f0d6b1e95a54e3c9d0f5a8f1c9be111" || id.root.String() != "58cdfe332199f544" {
		t.Errorf("got trace %s with root %s", id.trace, id.root)
	}
}
