package cloudevents

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/forwarder/ingest/adapter"
	"github.com/saker-security/saker/forwarder/ingest/adapter/adaptertest"
)

func TestEvents(t *testing.T) { adaptertest.Golden(t, Decode) }

func TestErrorsNameThePlace(t *testing.T) {
	adaptertest.Errors(t, Decode, map[string]string{
		"":                      "there must be at least one event",
		"{}":                    `event 1: attribute "specversion": must be 1.0, not ""`,
		`{"specversion":"2.0"}`: `event 1: attribute "specversion": must be 1.0, not "2.0"`,
		`{"specversion":"1.0","id":"1","source":"s"}`:                       `event 1: attribute "type": is required`,
		`{"specversion":"1.0","id":"1","type":"t"}`:                         `event 1: attribute "source": is required`,
		`{"specversion":"1.0","id":{},"type":"t"}`:                          `event 1: member "id": must not be an object or an array`,
		`{"specversion":"1.0","data_base64":"?"}`:                           `event 1: member "data_base64": must be Base64`,
		`{"specversion":"1.0","data":1,"data_base64":""}`:                   `event 1: members "data" and "data_base64" exclude each other`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"1"}`: `event 1: member "time": must be an RFC 3339 time, not "1"`,
	}, "Content-Type", "application/cloudevents+json; charset=utf-8")
	adaptertest.Errors(t, Decode, map[string]string{"x": `the event format must be json, not "avro"`},
		"Content-Type", "application/cloudevents+avro")
	adaptertest.Errors(t, Decode, map[string]string{"x": `the body must be JSON, as the media type says`},
		"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "t")
	adaptertest.Errors(t, Decode, map[string]string{"{}": `header "ce-subject": must be percent-encoded UTF-8`},
		"Ce-Specversion", "1.0", "Ce-Subject", "%C0%A0")
}

// line decodes a message of one event.
func line(t *testing.T, m adapter.Message) string {
	t.Helper()
	all, err := Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("there are %d events", len(all))
	}
	return string(all[0].AppendJSON(nil))
}

func TestTheBinaryModeIsTheSameEvent(t *testing.T) {
	structured := line(t, adaptertest.Message(
		`{"specversion":"1.0","id":"7","source":"/s","type":"a.b","subject":"é \"x\"","time":"2026-03-04T05:00:00Z","datacontenttype":"application/json","data":{"a":1}}`))
	binary := line(t, adaptertest.Message(`{"a":1}`, "Content-Type", "application/json; charset=utf-8", "Ce-Specversion", "1.0",
		"Ce-Id", "7", "Ce-Source", "/s", "Ce-Type", "a.b", "Ce-Subject", "%C3%A9%20%22x%22", "Ce-Time", "2026-03-04T05:00:00Z"))
	if diff := cmp.Diff(structured, binary); diff != "" {
		t.Errorf("the modes differ (-structured +binary):\n%s", diff)
	}
	quoted := line(t, adaptertest.Message(`{"a":1}`, "Content-Type", "application/json", "Ce-Specversion", "1.0",
		"Ce-Id", "7", "Ce-Source", "/s", "Ce-Type", "a.b", "Ce-Subject", `"%C3%A9 \"x\""`, "Ce-Time", "2026-03-04T05:00:00Z"))
	if quoted != structured {
		t.Errorf("a quoted header: %s", quoted)
	}
}

func TestAnAlertKeepsItsIdAndGetsTheMessagesIfItHasNone(t *testing.T) {
	const alert = `"output":"o","priority":"Error","rule":"r","time":"2026-03-04T05:00:00Z","output_fields":{"a":1}}`
	header := []string{"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "falco.rule.output.v1"}
	all, err := Decode(adaptertest.Message(`{"uuid":"11111111-2222-4333-8444-555555555555",`+alert, header...))
	if err != nil || all[0].UUID != "11111111-2222-4333-8444-555555555555" || all[0].Rule != "r" {
		t.Errorf("got %+v, %v", all, err)
	}
	all, err = Decode(adaptertest.Message(`{`+alert, header...))
	if err != nil || all[0].UUID != adapter.ID(Source, "s", "1") {
		t.Errorf("got %+v, %v", all, err)
	}
}

func FuzzDecode(f *testing.F) { adaptertest.Fuzz(f, Decode) }

func FuzzBinaryMode(f *testing.F) {
	f.Add(`{"a":1}`, "application/json", "x")
	f.Add("words", "text/plain", `"a\"b"`)
	f.Add("", "", "%41")
	f.Fuzz(func(t *testing.T, body, media, subject string) {
		all, err := Decode(adaptertest.Message(body, "Content-Type", media, "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "t", "Ce-Subject", subject))
		if (err == nil) != (len(all) > 0) {
			t.Errorf("%d events and the error %v", len(all), err)
		}
	})
}
