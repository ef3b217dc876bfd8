package otlplogs

import (
	"fmt"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/otlpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestARecordHasTheTimeOfItsEventAndOfItsSending(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	e := outputstest.Plain()
	r := record(Config{}, e, now)
	if r.GetTimeUnixNano() != uint64(e.Time.UnixNano()) || r.GetObservedTimeUnixNano() != uint64(now.UnixNano()) {
		t.Errorf("the times are %d and %d", r.GetTimeUnixNano(), r.GetObservedTimeUnixNano())
	}
}

func TestSeveritiesRiseWithThePriority(t *testing.T) {
	last := logspb.SeverityNumber_SEVERITY_NUMBER_UNSPECIFIED
	for p := event.Debug; p <= event.Emergency; p++ {
		e := event.Event{Priority: p}
		always, r := record(Config{Severity: "info"}, e, time.Time{}), record(Config{Severity: severityPriority}, e, time.Time{})
		if always.GetSeverityText() != "INFO" || always.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_INFO {
			t.Errorf("%v is %v", p, always.GetSeverityNumber())
		}
		if r.GetSeverityText() != p.String() || r.GetSeverityNumber() <= last {
			t.Errorf("%v is %v, what is below it %v", p, r.GetSeverityNumber(), last)
		}
		last = r.GetSeverityNumber()
	}
}

func TestAttributesBeyondTheLimitAreCounted(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = []event.Field{{Name: "rule", Value: event.StringValue("not this one")}}
	for i := range 200 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("f%03d", i), Value: event.StringValue("x")})
	}
	r := record(Config{OutputFields: true}, e, time.Unix(0, 0))
	if n := len(r.GetAttributes()); n != maxAttributes {
		t.Errorf("the record has %d attributes", n)
	}
	if want := uint32(7 + 201 - maxAttributes); r.GetDroppedAttributesCount() != want {
		t.Errorf("%d attributes count as dropped, want %d", r.GetDroppedAttributesCount(), want)
	}
	for _, a := range r.GetAttributes() {
		if a.GetKey() == "rule" && a.GetValue().GetStringValue() != e.Rule {
			t.Errorf("a field has taken the place of the rule")
		}
	}
}

func TestASyncedOutputSendsOneRecordAtATime(t *testing.T) {
	for text, want := range map[string]int{"": maxBatch, ", synced: true": 1} {
		s, err := outputstest.New("otlplogs", "{endpoint: http://h"+text+"}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.(outputs.Limited).MaxBatch(); got != want {
			t.Errorf("%q: a Send takes %d events, want %d", text, got, want)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	client, err := otlpx.New(otlpx.Config{Endpoint: "http://h", CheckCert: true}, otlpx.Logs, outputs.Env{})
	if err != nil {
		b.Fatal(err)
	}
	s := &sender{client: client, now: time.Now}
	var batch []event.Event
	for range 100 {
		batch = append(batch, outputstest.Plain())
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := proto.Marshal(s.request(batch)); err != nil {
			b.Fatal(err)
		}
	}
}
