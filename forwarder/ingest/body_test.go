package ingest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
)

func pack(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzip(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	packed := pack(t, goodEvent+"\n"+goodEvent)
	bomb := pack(t, strings.Repeat(" ", 50<<20))
	for _, tc := range []struct {
		name, body, encoding string
		status               int
	}{
		{"two events", packed, "gzip", 200},
		{"any case", packed, "GZIP", 200},
		{"cut short", packed[:len(packed)-6], "gzip", 400},
		{"damaged", packed[:30] + "xx" + packed[32:], "gzip", 400},
		{"not said", packed, "", 400},
		{"said but not done", goodEvent, "gzip", 200},
		{"unknown encoding of plain JSON", goodEvent, "utf-8", 200},
		{"bomb", bomb, "gzip", 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _ := call(t, server, "POST", "/", tc.body, "Content-Encoding", tc.encoding)
			if got.Status != tc.status {
				t.Errorf("got %+v", got)
			}
		})
	}
	if left := f.bytes.left.Load(); left != int64(f.Limits.MaxInFlightBytes) {
		t.Errorf("%d of the budget is left, want %d", left, f.Limits.MaxInFlightBytes)
	}
}

// unsized hides a body's size, so that it is sent in chunks.
type unsized struct{ io.Reader }

func TestBodiesBeyondTheLimitAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	want := "Please send a smaller request body\nThe limit is 65536 bytes after decompression (limits.maxbodybytes)\n"
	fill := strings.Repeat(" ", 64<<10-len(goodEvent))
	if got, _ := call(t, server, "POST", "/", goodEvent+fill); got != stored {
		t.Errorf("a body of exactly the limit: %+v", got)
	}
	if got, _ := call(t, server, "POST", "/", goodEvent+fill+" "); got.Status != 413 || got.Body != want {
		t.Errorf("a body with its size: %+v", got)
	}
	resp, err := server.Client().Post(server.URL, "", unsized{strings.NewReader(goodEvent + fill + " ")})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("a body in chunks: %d", resp.StatusCode)
	}
}

func TestMemoryForBodiesIsBounded(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.MaxInFlightBytes = 64 << 10 })
	if !f.bytes.take(60<<10, 0) {
		t.Fatal("the budget is smaller than it should be")
	}
	w := httptest.NewRecorder()
	f.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(goodEvent+strings.Repeat(" ", 60<<10))))
	if w.Code != 503 {
		t.Errorf("got %d", w.Code)
	}
	if left := f.bytes.left.Load(); left != 4<<10 {
		t.Errorf("%d bytes of the budget are left", left)
	}
}

func TestSeveralEventsAreTakenTogetherOrNotAtAll(t *testing.T) {
	many := func(n int, sep string) string { return strings.Repeat(goodEvent+sep, n-1) + goodEvent }
	for _, tc := range []struct {
		name, body string
		events     int
		status     int
		text       string
	}{
		{"array", "[" + many(3, ",") + "]", 3, 200, ""},
		{"array of one", "[" + goodEvent + "]", 1, 200, ""},
		{"lines", many(3, "\n") + "\n", 3, 200, ""},
		{"one after the other", goodEvent + goodEvent, 2, 200, ""},
		{"empty array", "[]", 0, 400, badBody + "there must be at least one event\n"},
		{"rubbish after the event", goodEvent + "trailing", 1, 200, ""},
		{"zero bytes after the event", goodEvent + "\x00\x00", 1, 200, ""},
		{"half an event after the event", goodEvent + `{"output":`, 0, 400, ""},
		{
			"wrong third line", many(2, "\n") + "\n" + wrongEvent, 0, 400,
			badBody + `event 3: member "priority": must be one of emergency, alert, critical, error, warning, notice, informational, debug, not "loud"` + "\n",
		},
		{
			"incomplete event in an array", "[" + goodEvent + "," + emptyEvent + "]", 0, 400,
			badBody + `event 2: member "output_fields": is required` + "\n",
		},
		{"as many as allowed", "[" + many(10, ",") + "]", 10, 200, ""},
		{
			"more than allowed", "[" + many(11, ",") + "]", 0, 413,
			"Please send a smaller request body\nThe limit is 10 events in one request (limits.maxevents)\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, nil)
			server := httptest.NewServer(f.Router(Everything))
			defer server.Close()
			got, _ := call(t, server, "POST", "/", tc.body)
			if got.Status != tc.status {
				t.Errorf("status %d, want %d", got.Status, tc.status)
			}
			if tc.text != "" && got.Body != tc.text {
				t.Errorf("body %q, want %q", got.Body, tc.text)
			}
			if n := len(f.journal.stored()); n != tc.events {
				t.Errorf("%d events were stored, want %d", n, tc.events)
			}
		})
	}
}

func FuzzPost(f *testing.F) {
	for _, seed := range []string{
		goodEvent, wrongEvent, emptyEvent, falcoEvent, "", "null", "[]", "[" + goodEvent + "]",
		goodEvent + "\n" + goodEvent, goodEvent + "x", "{}", "[[", `{"time":1}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(pack(f, seed)), true)
	}
	en, err := NewEnricher(Enrichment{
		CustomFields: map[string]string{"c": "1"}, CustomTags: []string{"t"}, BracketReplacer: "_",
		TemplatedFields: map[string]string{"t": `{{ index . "a" }}`}, OutputFieldFormat: "<timestamp> <output> <tags>",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, zipped bool) {
		fx := newFixture(t, func(o *Options) { o.Enricher = en })
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		if zipped {
			r.Header.Set("Content-Encoding", "gzip")
		}
		w := httptest.NewRecorder()
		fx.Router(Everything).ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if len(fx.journal.stored()) == 0 || w.Body.Len() != 0 {
				t.Errorf("accepted with %d events and the body %q", len(fx.journal.stored()), w.Body)
			}
			for _, e := range fx.journal.stored() {
				if _, err := event.Decode(e.AppendJSON(nil)); err != nil {
					t.Errorf("what was stored cannot be read again: %v", err)
				}
			}
		case 400, 413:
			if len(fx.journal.stored()) != 0 {
				t.Error("refused, but stored")
			}
		default:
			t.Errorf("answered with %d", w.Code)
		}
		if left := fx.bytes.left.Load(); left != int64(fx.Limits.MaxInFlightBytes) {
			t.Errorf("the request kept %d bytes of the budget", int64(fx.Limits.MaxInFlightBytes)-left)
		}
	})
}
