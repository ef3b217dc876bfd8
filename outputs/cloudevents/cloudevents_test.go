package cloudevents

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "cloudevents",
		Config: "{address: 'URL/s3cret1?token=s3cret2'}",
		Secret: "s3cret1 s3cret2",
		Answer: broker,
		Variants: map[string]string{
			"extensions": "{address: URL, extensions: {Region: 'München 100%', rule: overridden}}",
			"structured": "{address: URL, mode: structured, extensions: {region: 'a & b'}}",
			"batched":    "{address: URL, mode: batched}",
		},
		Wrong: map[string]string{
			"{}":                                    "address",
			"{address: broker:80/s3cret1}":          "must be a URL",
			"{address: URL, mode: quick}":           "mode",
			"{address: URL, extensions: {a-b: c}}":  `"a-b" is no name of an extension`,
			"{address: URL, extensions: {'': c}}":   `"" is no name of an extension`,
			"{address: URL, extensions: {Type: c}}": "every CloudEvent has",
		},
	}.Run(t)
}

// broker answers as a broker of Knative does, which checks what it takes.
func broker(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(why string) { http.Error(w, why, http.StatusBadRequest) }
	switch r.Header.Get("Content-Type") {
	case "application/json":
		ce := func(name string) string { return r.Header.Get("Ce-" + name) }
		_, err := event.Decode(body)
		if err != nil || !valid(ce("Specversion"), ce("Id"), ce("Source"), ce("Type"), ce("Time")) {
			refuse("no valid CloudEvent in binary mode")
			return
		}
	case "application/cloudevents+json", "application/cloudevents-batch+json":
		if !strings.HasPrefix(string(body), "[") {
			body = append(append([]byte("["), body...), ']')
		}
		var all []struct {
			SpecVersion, ID, Source, Type, Time, DataContentType string
			Data                                                 event.Event
		}
		if err := json.Unmarshal(body, &all); err != nil || len(all) == 0 {
			refuse("no CloudEvent in JSON")
			return
		}
		for _, e := range all {
			if !valid(e.SpecVersion, e.ID, e.Source, e.Type, e.Time) || e.DataContentType != "application/json" || e.Data.Rule == "" {
				refuse("no valid CloudEvent in JSON")
				return
			}
		}
	default:
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func valid(version, id, source, kind, at string) bool {
	_, err := time.Parse(time.RFC3339, at)
	return version == "1.0" && id != "" && source != "" && kind != "" && err == nil
}

func TestAValueSurvivesTheHeader(t *testing.T) {
	for value, want := range map[string]string{
		"Write below binary dir": "Write below binary dir",
		`a "quoted" rule, 100%`:  `a "quoted" rule, 100%25`,
		"Zürich ⚠":               "Z%C3%BCrich %E2%9A%A0",
		" a\r\nX-Evil: 1 ":       "%20a%0D%0AX-Evil: 1%20",
		"":                       "",
	} {
		got := inHeader(value)
		if got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
		if back, err := url.PathUnescape(got); err != nil || back != value {
			t.Errorf("%q comes back as %q (%v)", value, back, err)
		}
	}
}

func TestOnlyTheBatchedModeTakesBatches(t *testing.T) {
	for mode, want := range map[string]int{"binary": 1, "structured": 1, "batched": 500} {
		s, err := outputstest.New("cloudevents", "{address: 'http://127.0.0.1:1', mode: "+mode+"}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if limited, ok := s.(outputs.Limited); !ok || limited.MaxBatch() != want {
			t.Errorf("%s takes another number of events than %d", mode, want)
		}
	}
}

func TestABatchIsNotLargerThanReceiversTake(t *testing.T) {
	big := outputstest.Plain()
	big.Output = strings.Repeat("x", 400<<10)
	batch := []event.Event{big, big, big}
	_, body, to := Config{Mode: batched}.message(batch, 0)
	if to != 2 || len(body) > 1<<20+1 {
		t.Errorf("%d events in %d bytes, want 2", to, len(body))
	}
}
