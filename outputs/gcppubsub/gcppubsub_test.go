package gcppubsub_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	_ "github.com/saker-security/saker/outputs/gcppubsub"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	account := gcpxtest.New(t)
	with := func(more string) string {
		return "{projectid: p-1, topic: falco, endpoint: URL, credentials: " + account.Credentials + more + "}"
	}
	outputstest.HTTP{
		Kind:   "gcppubsub",
		Config: with(""),
		Secret: account.Secret,
		Answer: topic,
		Clean:  gcpxtest.Clean,
		Variants: map[string]string{
			"attributes": with(", customattributes: {zone: \"a&b\", Cluster: eu-1}"),
			"ordered":    with(", orderingkey: '{{ .Priority }} {{ .Source }}'"),
		},
		Hollow: map[string]outputstest.Outcome{
			"<html>sign in</html>": outputstest.NotNow,
			`{}`:                   outputstest.NotNow,
			`{"messageIds":[]}`:    outputstest.NotNow,
		},
		Wrong: map[string]string{
			"{}":                             "projectid",
			"{projectid: p}":                 "topic",
			"{projectid: p/x, topic: falco}": "must be a project's ID",
			"{projectid: p, topic: projects/p/topics/falco}":                                         "must be a topic's name",
			"{projectid: p, topic: falco, credentials: nonsense}":                                    "credentials",
			"{projectid: p, topic: falco, customattributes: {google: x}}":                            "not begin with goog",
			"{projectid: p, topic: falco, endpoint: 'http://u:p@h'}":                                 "without user and password",
			"{projectid: p, topic: falco, orderingkey: '{{ .Hostname '}":                             "orderingkey",
			"{projectid: p, topic: falco, customattributes: {a: " + strings.Repeat("v", 1025) + "}}": "at most 1024 bytes",
		},
	}.Run(t)
}

type published struct {
	Messages []struct {
		Data        []byte            `json:"data"`
		Attributes  map[string]string `json:"attributes"`
		OrderingKey string            `json:"orderingKey"`
	} `json:"messages"`
}

// topic answers as Pub/Sub does, and refuses what Pub/Sub refuses.
func topic(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"status":%q}}`, status, message, code)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	var got published
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&got)
	switch {
	case !gcpxtest.Check(r):
		refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case r.Method != http.MethodPost || r.URL.Path != "/v1/projects/p-1/topics/falco:publish" && r.URL.Path != "/elsewhere":
		refuse(404, "NOT_FOUND", "Resource not found (resource=falco).")
	case err != nil:
		refuse(400, "INVALID_ARGUMENT", "Invalid JSON payload received. "+err.Error())
	case len(got.Messages) == 0 || len(got.Messages) > 1000 || len(body) > 10_000_000:
		refuse(400, "INVALID_ARGUMENT", "The value for message_count is not in [1, 1000].")
	default:
		ids := []string{}
		for i, m := range got.Messages {
			if _, err := event.Decode(m.Data); err != nil || m.OrderingKey != got.Messages[0].OrderingKey || len(m.OrderingKey) > 1024 {
				refuse(400, "INVALID_ARGUMENT", "In a single publish request, all messages must have no ordering key or they must all have the same ordering key.")
				return
			}
			ids = append(ids, fmt.Sprint(19916711285+i))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"messageIds": ids})
	}
}

// send sends the batch to a topic and returns its requests.
func send(t *testing.T, more string, batch []event.Event) ([]published, error) {
	t.Helper()
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	var requests []published
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var got published
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		requests = append(requests, got)
		topic(w, r, body)
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("gcppubsub", "{projectid: p-1, topic: falco, endpoint: '"+server.URL+"', credentials: "+account.Credentials+more+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	})
	err = s.Send(t.Context(), batch)
	return requests, err
}

func TestABatchThatIsTooLargeGoesInSeveralRequests(t *testing.T) {
	big := outputstest.Plain()
	big.Output = strings.Repeat("x", 900<<10)
	batch := make([]event.Event, 12)
	for i := range batch {
		batch[i] = big
	}
	requests, err := send(t, "", batch)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	for _, r := range requests {
		n += len(r.Messages)
	}
	if len(requests) != 2 || n != len(batch) {
		t.Errorf("%d messages in %d requests, want %d in 2", n, len(requests), len(batch))
	}
}

func TestARequestHasOneOrderingKey(t *testing.T) {
	batch := make([]event.Event, 5)
	for i, host := range []string{"a", "a", "b", "a", ""} {
		batch[i] = outputstest.Plain()
		batch[i].Hostname = host
	}
	requests, err := send(t, ", orderingkey: '{{ .Hostname }}'", batch)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range requests {
		for _, m := range r.Messages {
			got = append(got, m.OrderingKey)
		}
		got = append(got, "|")
	}
	if want := "a a | b | a |  |"; strings.Join(got, " ") != want {
		t.Errorf("the keys are %q, want %q", strings.Join(got, " "), want)
	}
}

func TestTheDataIsTheEvent(t *testing.T) {
	e := outputstest.Plain()
	requests, err := send(t, ", customattributes: {a: b}", []event.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	m := requests[0].Messages[0]
	if string(m.Data) != string(e.AppendJSON(nil)) || m.Attributes["a"] != "b" {
		t.Errorf("got %s", base64.StdEncoding.EncodeToString(m.Data))
	}
}
