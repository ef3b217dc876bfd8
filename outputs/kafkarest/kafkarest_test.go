package kafkarest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// answer does what the proxy does with a request, and refuses what it would refuse.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	if strings.Contains(r.URL.Path, "/v3/") {
		answerRecords(w, r, body)
		return
	}
	switch kind := r.Header.Get("Content-Type"); kind {
	case "application/vnd.kafka.binary.v1+json", "application/vnd.kafka.binary.v2+json":
	default:
		http.Error(w, `{"error_code":415,"message":"HTTP 415 Unsupported Media Type"}`, http.StatusUnsupportedMediaType)
		return
	}
	var req struct {
		Records []struct {
			Value string `json:"value"`
		} `json:"records"`
	}
	if err := json.Unmarshal(body, &req); err != nil || len(req.Records) == 0 {
		http.Error(w, `{"error_code":42203,"message":"Conversion of JSON to Object failed"}`, http.StatusUnprocessableEntity)
		return
	}
	var offsets []string
	for i, record := range req.Records {
		if !isEvent(record.Value) {
			http.Error(w, `{"error_code":42203}`, http.StatusUnprocessableEntity)
			return
		}
		offsets = append(offsets, fmt.Sprintf(`{"partition":0,"offset":%d,"error_code":null,"error":null}`, i))
	}
	fmt.Fprintf(w, `{"offsets":[%s],"key_schema_id":null,"value_schema_id":null}`, strings.Join(offsets, ","))
}

func answerRecords(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, `{"error_code":415}`, http.StatusUnsupportedMediaType)
		return
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	for offset := 0; dec.More(); offset++ {
		var record struct {
			Value struct {
				Type, Data string
			} `json:"value"`
		}
		if err := dec.Decode(&record); err != nil || record.Value.Type != "BINARY" || !isEvent(record.Value.Data) {
			fmt.Fprintln(w, `{"error_code":400,"message":"Bad Request"}`)
			return
		}
		fmt.Fprintf(w, `{"error_code":200,"cluster_id":"c","topic_name":"falco","partition_id":0,"offset":%d}`+"\r\n", offset)
	}
}

func isEvent(data string) bool {
	text, err := base64.StdEncoding.DecodeString(data)
	return err == nil && json.Valid(text) && text[len(text)-1] == '}'
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "kafkarest",
		Config: "{address: 'URL/topics/falco?key=s3cret1', customheaders: {Authorization: Basic s3cret2}}",
		Secret: "s3cret1 s3cret2",
		Variants: map[string]string{
			"v1":      "{address: URL/topics/falco, version: 1}",
			"unknown": "{address: URL/topics/falco, version: 7}",
			"v3":      "{address: URL/kafka/v3/clusters/c/topics/falco/records}",
		},
		Wrong: map[string]string{
			"{}":                              "address",
			"{address: 'kafka:8082/s3cret1'}": "must be a URL",
			"{address: URL, customheaders: {'a b': s3cret2}}": "no name of a header",
		},
		Answer: answer,
	}.Run(t)
}

// send sends n events to a proxy that answers each request with text.
func send(t *testing.T, path, text string, n int) error {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("kafkarest", fmt.Sprintf("{address: '%s%s'}", s.URL, path), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.(io.Closer).Close() })
	batch := make([]event.Event, n)
	for i := range batch {
		batch[i] = outputstest.Plain()
	}
	return sender.Send(t.Context(), batch)
}

const (
	topic   = "/topics/falco"
	records = "/v3/clusters/c/topics/falco/records"
)

func TestRecordsThatFailAreFoundInTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name, path, answer string
		want               []outputstest.Outcome
	}{
		{
			"v2", topic, `{"offsets":[{"partition":0,"offset":1,"error_code":null,"error":null},{"error_code":2,"error":"not leader"},{"error_code":1,"error":"not authorized"}]}`,
			[]outputstest.Outcome{outputstest.Delivered, outputstest.NotNow, outputstest.Held},
		},
		{
			"v3", records, `{"error_code":200}` + "\n" + `{"error_code":429,"message":"rate"}` + `{"error_code":40301,"message":"not authorized"} {"error_code":42206,"message":"size"}{"error_code":50002,"message":"Kafka"}{"error_code":7,"message":"odd"}`,
			[]outputstest.Outcome{outputstest.Delivered, outputstest.NotNow, outputstest.Held, outputstest.Rejected, outputstest.NotNow, outputstest.NotNow},
		},
		{
			"v3 that ends early", records, `{"error_code":200}{"error_code":400,"message":"malformed"}`,
			[]outputstest.Outcome{outputstest.Delivered, outputstest.Rejected, outputstest.NotNow},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed, ok := errors.AsType[outputs.Partial](send(t, c.path, c.answer, len(c.want)))
			if !ok {
				t.Fatal("the answer was taken for success")
			}
			for i, want := range c.want {
				if got := outputstest.OutcomeOf(failed[i]); got != want {
					t.Errorf("record %d is %q (%v), want %q", i, got, failed[i], want)
				}
			}
		})
	}
}

func TestAnAnswerOfSomethingElseIsNoSuccess(t *testing.T) {
	for _, path := range []string{topic, records} {
		for _, text := range []string{"", "<html>welcome</html>", `[]`, `{"offsets":"x"}`} {
			if err := send(t, path, text, 2); outputstest.OutcomeOf(err) != outputstest.NotNow {
				t.Errorf("%s: %q is %q (%v)", path, text, outputstest.OutcomeOf(err), err)
			}
		}
	}
	if err := send(t, topic, `{"offsets":[]}`, 1); err == nil || !strings.Contains(err.Error(), "0 of 1 records") {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"offsets":[{"partition":0,"offset":1,"error_code":null},{"error_code":1,"error":"x"}]}`))
	f.Add([]byte(`{"error_code":200}{"error_code":42206,"message":"size"}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, read := range []func([]byte, int) error{topicAnswer, recordsAnswer} {
			failed, _ := errors.AsType[outputs.Partial](read(answer, 2))
			for i, err := range failed {
				if i < 0 || i > 1 || err == nil {
					t.Errorf("place %d: %v", i, err)
				}
			}
		}
	})
}
