package gcpstorage_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	_ "github.com/saker-security/saker/outputs/gcpstorage"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	account := gcpxtest.New(t)
	with := func(more string) string {
		return "{bucket: falco-1, endpoint: URL, credentials: " + account.Credentials + more + "}"
	}
	outputstest.HTTP{
		Kind:   "gcpstorage",
		Config: with(""),
		Secret: account.Secret,
		Answer: func(w http.ResponseWriter, r *http.Request, body []byte) { (&bucket{}).serve(w, r, body) },
		Clean:  clean,
		Variants: map[string]string{
			"prefix":       with(", prefix: 'a b/ü'"),
			"keys":         with(", prefix: falco, keys: event"),
			"ndjson":       with(", prefix: falco, format: ndjson"),
			"ndjson_event": with(", prefix: falco, format: ndjson, keys: event"),
		},
		Statuses: map[int]outputstest.Outcome{412: outputstest.Held},
		Hollow: map[string]outputstest.Outcome{
			"<html>sign in</html>": outputstest.NotNow,
			"{}":                   outputstest.NotNow,
		},
		Wrong: map[string]string{
			"{}":                                     "bucket",
			"{bucket: gs://falco}":                   "must be the name of a bucket",
			"{bucket: falco-1, format: csv}":         "format",
			"{bucket: falco-1, keys: uuid}":          "keys",
			"{bucket: falco-1, endpoint: localhost}": "must be a URL",
			"{bucket: falco-1, prefix: " + strings.Repeat("p", 901) + "}": "at most 900 bytes",
			"{bucket: falco-1, credentials: bm8ga2V5}":                    "credentials",
		},
	}.Run(t)
}

var (
	stored = regexp.MustCompile(`%2F\d{4}-\d\d-\d\d%2F\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d(\.\d+)?(Z|[+-]\d\d%3A\d\d|%2B\d\d%3A\d\d)\.`)
	zipped = "\x1f\x8b"
)

// clean replaces the time of storing, and shows what is compressed.
func clean(text string) string {
	if strings.HasPrefix(text, zipped) {
		plain, err := unzip([]byte(text))
		if err != nil {
			return err.Error()
		}
		return plain
	}
	return gcpxtest.Clean(stored.ReplaceAllString(text, "%2FDATE%2FNOW."))
}

func unzip(body []byte) (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(z)
	return string(plain), err
}

// bucket is the API of Cloud Storage.
type bucket struct {
	mu      sync.Mutex
	objects map[string]string
	// taken is how many requests more find an object of their name.
	taken int
	calls int
}

func (b *bucket) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	refuse := func(status int, reason string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"message":"","domain":"global","reason":%q}]}}`, status, reason, reason)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	q := r.URL.Query()
	name := q.Get("name")
	_, exists := b.objects[name]
	switch {
	case !gcpxtest.Check(r):
		refuse(401, "authError")
	case r.URL.Path == "/elsewhere":
		fmt.Fprint(w, `{"name":"elsewhere"}`)
	case r.Method != http.MethodPost || r.URL.Path != "/upload/storage/v1/b/falco-1/o":
		refuse(404, "notFound")
	case q.Get("uploadType") != "media" || name == "" || len(name) > 1024 || strings.ContainsAny(name, "\r\n"):
		refuse(400, "invalid")
	case b.taken > 0 || exists && q.Get("ifGenerationMatch") == "0":
		b.taken--
		refuse(412, "conditionNotMet")
	default:
		if b.objects == nil {
			b.objects = map[string]string{}
		}
		b.objects[name] = string(body)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "storage#object", "name": name, "bucket": "falco-1", "contentType": r.Header.Get("Content-Type")})
	}
}

// open makes a sender for the bucket.
func (b *bucket) open(t *testing.T, more string) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.serve(w, r, body)
	}))
	t.Cleanup(server.Close)
	return open(t, server.URL, "credentials: "+account.Credentials+more)
}

func open(t *testing.T, address, more string) outputs.Sender {
	t.Helper()
	s, err := outputstest.New("gcpstorage", "{bucket: falco-1, endpoint: '"+address+"', "+more+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	})
	return s
}

func TestANameThatIsTakenIsReplaced(t *testing.T) {
	b := &bucket{taken: 2}
	if err := b.open(t, "").Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Fatal(err)
	}
	if len(b.objects) != 1 || b.calls != 3 {
		t.Errorf("%d objects after %d requests, want 1 after 3", len(b.objects), b.calls)
	}
}

func TestABucketWhereEveryNameIsTakenIsHeld(t *testing.T) {
	b := &bucket{taken: 100}
	err := b.open(t, "").Send(t.Context(), []event.Event{outputstest.Plain()})
	if outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("got %v, want an error that holds", err)
	}
}

func TestWithNamesOfEventsWhatIsSentTwiceIsStoredOnce(t *testing.T) {
	for _, format := range []string{"json", "ndjson"} {
		b := &bucket{}
		s := b.open(t, ", keys: event, format: "+format)
		for range 2 {
			if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.objects) != 1 {
			t.Errorf("%s: there are %d objects, want 1", format, len(b.objects))
		}
	}
}

func TestABatchThatIsTooLargeIsStoredAsSeveralObjects(t *testing.T) {
	big := outputstest.Plain()
	big.Output = strings.Repeat("x", 900<<10)
	batch := make([]event.Event, 20)
	for i := range batch {
		batch[i] = big
	}
	b := &bucket{}
	if err := b.open(t, ", format: ndjson").Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var lines int
	for _, body := range b.objects {
		text, err := unzip([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(text, "\n")
	}
	if len(b.objects) != 2 || lines != len(batch) {
		t.Errorf("%d events in %d objects, want %d in 2", lines, len(b.objects), len(batch))
	}
}

func TestOnlyNDJSONTakesBatches(t *testing.T) {
	for more, want := range map[string]int{"": 1, ", format: ndjson": 10_000} {
		limited, ok := (&bucket{}).open(t, more).(outputs.Limited)
		if !ok || limited.MaxBatch() != want {
			t.Errorf("%q takes another number of events than %d", more, want)
		}
	}
}
