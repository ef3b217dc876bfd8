package ingest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest/adapter/generic"
)

// mappings are generic mappings for tests.
func mappings(t testing.TB) func(*Options) {
	t.Helper()
	c := Config{Generic: []generic.Mapping{{Name: "any", Rule: "body.?rule.orValue('none')", Output: "'o'"}}}
	compiled, err := c.Mappings()
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Generic = compiled }
}

func TestAdaptersTakeWhatTheirSendersSend(t *testing.T) {
	f := newFixture(t, mappings(t))
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	const cloud = `{"specversion":"1.0","id":"1","source":"s","type":"t"}`
	notFound := answer{404, plainText, "404 page not found\n"}
	for _, tc := range []struct {
		name, method, path, body string
		want                     answer
		events                   int
	}{
		{"tetragon", "POST", "/ingest/tetragon", `{"process_exec":{}}` + "\n" + `{"process_exit":{}}`, stored, 2},
		{"tracee", "POST", "/ingest/tracee", `{"eventName":"openat"}`, stored, 1},
		{"alertmanager", "POST", "/ingest/alertmanager", `{"version":"4","alerts":[{"labels":{"alertname":"a"}}]}`, stored, 1},
		{"cloudevents", "POST", "/ingest/cloudevents", cloud, stored, 1},
		{"generic", "POST", "/ingest/generic/any", `{"rule":"r"}`, stored, 1},
		{"a mapping that is not there", "POST", "/ingest/generic/other", "{}", notFound, 0},
		{"no mapping", "POST", "/ingest/generic", "{}", notFound, 0},
		{"an unknown sender", "POST", "/ingest/other", goodEvent, notFound, 0},
		{"nobody", "POST", "/ingest/", goodEvent, notFound, 0},
		{"an event at the path without a sender", "POST", "/ingest", goodEvent, stored, 1},
		{"GET", "GET", "/ingest/tracee", "", answer{400, plainText, badMethod}, 0},
		{"what is wrong is said", "POST", "/ingest/tracee", `{"eventName":"a"} {}`, answer{400, plainText, badBody + "event 2: member \"eventName\": is required\n"}, 0},
		{"an event of Falco's", "POST", "/ingest/tetragon", goodEvent, answer{400, plainText, badBody + "event 1: must have a member such as process_exec or process_kprobe\n"}, 0},
		{
			"too many", "POST", "/ingest/tracee", strings.Repeat(`{"eventName":"a"}`, 11),
			answer{413, plainText, "Please send a smaller request body\nThe limit is 10 events in one request (limits.maxevents)\n"},
			0,
		},
		{"too deep", "POST", "/ingest/generic/any", strings.Repeat("[", 101), answer{400, plainText, badBody + "must not be nested deeper than 100 levels\n"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(f.journal.stored())
			if got, _ := call(t, server, tc.method, tc.path, tc.body); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if n := len(f.journal.stored()) - before; n != tc.events {
				t.Errorf("%d events were stored, want %d", n, tc.events)
			}
		})
	}
	if got, _ := call(t, server, "POST", "/ingest/tracee", pack(t, `{"eventName":"a"}`), "Content-Encoding", "gzip"); got != stored {
		t.Errorf("gzip: %+v", got)
	}
	if left := f.bytes.left.Load(); left != int64(f.Limits.MaxInFlightBytes) {
		t.Errorf("%d of the budget is left", left)
	}
}

func TestAdaptersAskForCredentialsAndTrustOnlyWithThem(t *testing.T) {
	const body = `{"eventName":"a","timestamp":1772600767123456789}`
	for _, secret := range []string{"", "t0ken"} {
		f := newFixture(t, func(o *Options) { o.Guard = auth.New(auth.Config{Token: config.NewSecret(secret)}) })
		server := httptest.NewServer(f.Router(Everything))
		for range 2 {
			call(t, server, "POST", "/ingest/tracee", body, "Authorization", "Bearer "+secret)
		}
		if got, _ := call(t, server, "POST", "/ingest/tracee", body, "Authorization", "Bearer x"); (got.Status == 401) != (secret != "") {
			t.Errorf("with the token %q a wrong one got %d", secret, got.Status)
		}
		server.Close()
		all := f.journal.stored()
		if same := all[0].UUID == all[1].UUID; same != (secret != "") {
			t.Errorf("with the token %q the same message became %q and %q", secret, all[0].UUID, all[1].UUID)
		}
	}
}

func TestMemoryForDecodingIsBounded(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		mappings(t)(o)
		o.Limits.MaxBodyBytes, o.Limits.MaxInFlightBytes = 5<<20, 10<<20
	})
	post := func(values int) int {
		w := httptest.NewRecorder()
		body := `{"a":[` + strings.Repeat("0,", values) + "0]}"
		f.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", "/ingest/generic/any", strings.NewReader(body)))
		return w.Code
	}
	for values, status := range map[int]int{1000: 200, 180_000: 503, maxValues + 1: 413} {
		if got := post(values); got != status {
			t.Errorf("a body of %d values got %d, want %d", values, got, status)
		}
	}
	if left := f.bytes.left.Load(); left != int64(f.Limits.MaxInFlightBytes) {
		t.Errorf("%d of the budget is left", left)
	}
}

func TestTwoMappingsOfOneNameAreAMistake(t *testing.T) {
	file := "ingest: {generic: [{name: a, rule: \"'r'\", output: \"'o'\"}, {name: a, rule: \"'r'\", output: \"'o'\"}]}"
	var c struct {
		Ingest Config `key:"ingest"`
	}
	_, err := config.Load(config.Source{File: "saker.yaml", Text: []byte(file)}, config.Section{Into: []any{&c}})
	if err == nil || err.Error() != `saker.yaml:1: ingest.generic: the name "a" is used twice` {
		t.Errorf("got %v", err)
	}
}

func TestShapeNeverCountsTooFew(t *testing.T) {
	for _, tc := range []struct {
		text          string
		values, depth int
	}{
		{"", 1, 0}, {"1", 1, 0}, {"[]", 2, 1}, {"[1,2]", 3, 1}, {`{"a":{"b":[1,"],[",2]}}`, 8, 3}, {`"\"[["`, 1, 0},
	} {
		if values, depth := shape([]byte(tc.text)); values != tc.values || depth != tc.depth {
			t.Errorf("%s has %d values and %d levels, want %d and %d", tc.text, values, depth, tc.values, tc.depth)
		}
	}
}

func FuzzAdapters(f *testing.F) {
	names := []string{"tetragon", "tracee", "alertmanager", "cloudevents", "generic/any"}
	for i, seed := range []string{`{"process_exec":{}}`, `{"eventName":"a"}`, `{"alerts":[{"labels":{"a":"b"}}]}`, `{"specversion":"1.0","id":"1","source":"s","type":"t"}`, `{"a":1}`} {
		f.Add(uint8(i), []byte(seed))
	}
	with := mappings(f)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		fx := newFixture(t, with)
		w := httptest.NewRecorder()
		path := fmt.Sprintf("%s%s", adapterPath, names[int(which)%len(names)])
		fx.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(string(body))))
		if n := len(fx.journal.stored()); (w.Code == 200) != (n > 0) || w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Errorf("answered with %d and stored %d events", w.Code, n)
		}
		if left := fx.bytes.left.Load(); left != int64(fx.Limits.MaxInFlightBytes) {
			t.Errorf("the request kept %d bytes of the budget", int64(fx.Limits.MaxInFlightBytes)-left)
		}
	})
}
