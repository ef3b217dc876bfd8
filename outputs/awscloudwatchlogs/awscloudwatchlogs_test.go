package awscloudwatchlogs

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// request is what CreateLogStream and PutLogEvents take.
type request struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
	SequenceToken string `json:"sequenceToken"`
	LogEvents     []struct {
		Message   string `json:"message"`
		Timestamp int64  `json:"timestamp"`
	} `json:"logEvents"`
}

func read(body []byte) (req request, err error) { return req, json.Unmarshal(body, &req) }

func target(r *http.Request) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}

// answer is what CloudWatch Logs answers. It refuses what CloudWatch Logs refuses.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	req, err := read(body)
	if err != nil {
		awstest.Fault(w, 400, "SerializationException", err.Error())
		return
	}
	if target(r) == "CreateLogStream" {
		return
	}
	total := 0
	for i, e := range req.LogEvents {
		total += len(e.Message) + 26
		first := req.LogEvents[0].Timestamp
		if i > 0 && e.Timestamp < req.LogEvents[i-1].Timestamp || e.Timestamp-first > 24*time.Hour.Milliseconds() {
			awstest.Fault(w, 400, "InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
			return
		}
	}
	if total > 1_048_576 || len(req.LogEvents) == 0 || len(req.LogEvents) > 10_000 {
		awstest.Fault(w, 400, "InvalidParameterException", "Upload too large")
		return
	}
	_, _ = io.WriteString(w, `{"nextSequenceToken":"1"}`)
}

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "endpointurl: URL, " + awstest.Access + ", loggroup: /saker/alerts"
	outputstest.HTTP{
		Kind:   "awscloudwatchlogs",
		Config: "{" + common + ", logstream: falco}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"default_stream": "{" + common + "}",
		},
		Wrong: map[string]string{
			"{}":                              "loggroup: is required",
			"{loggroup: 'a b'}":               "loggroup: must be the name of a log group",
			"{loggroup: a, logstream: 'b:c'}": "logstream: must be the name of a log stream",
		},
		Answer:      answer,
		Clean:       awstest.Clean,
		NoRedirects: true,
	}.Run(t)
}

// serve starts a fake that answers as CloudWatch Logs does, and a sender for it.
func serve(t *testing.T, extra string) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(accept)
	sender := awstest.Open(t, "awscloudwatchlogs", "{"+awstest.Access+", loggroup: alerts"+extra+"}")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

func accept(w http.ResponseWriter, c awstest.Call) { answer(w, c.Request, []byte(c.Body)) }

// operations are the calls' operations and streams.
func operations(t *testing.T, calls []awstest.Call) (all []string) {
	t.Helper()
	for _, c := range calls {
		req, err := read([]byte(c.Body))
		if err != nil || c.Service != "logs" {
			t.Errorf("got %s (%v)", c.Service, err)
		}
		all = append(all, fmt.Sprintf("%s %s %d", target(c.Request), req.LogStreamName, len(req.LogEvents)))
	}
	return all
}

func TestTheDefaultStreamIsMadeOnce(t *testing.T) {
	f, send := serve(t, "")
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		if target(c.Request) == "CreateLogStream" {
			awstest.Fault(w, 400, "ResourceAlreadyExistsException", "The specified log stream already exists")
			return
		}
		accept(w, c)
	})
	for range 2 {
		if err := send(outputstest.Plain()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"CreateLogStream falcosidekick-logstream 0", "PutLogEvents falcosidekick-logstream 1", "PutLogEvents falcosidekick-logstream 1"}
	if got := operations(t, f.Take()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAStreamThatIsNotThereIsMade(t *testing.T) {
	f, send := serve(t, ", logstream: mine")
	made := false
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		if made = made || target(c.Request) == "CreateLogStream"; !made {
			awstest.Fault(w, 400, "ResourceNotFoundException", "The specified log stream does not exist.")
			return
		}
		accept(w, c)
	})
	if err := send(outputstest.Plain()); err != nil {
		t.Fatal(err)
	}
	want := []string{"PutLogEvents mine 1", "CreateLogStream mine 0", "PutLogEvents mine 1"}
	if got := operations(t, f.Take()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALogGroupThatIsNotThereHoldsTheEvents(t *testing.T) {
	for _, extra := range []string{"", ", logstream: mine"} {
		f, send := serve(t, extra)
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
			awstest.Fault(w, 400, "ResourceNotFoundException", "The specified log group does not exist.")
		})
		if err := send(awstest.Several(3)...); outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "log group") {
			t.Errorf("got %v", err)
		}
	}
}

func TestABatchIsPutInOrderAndInRequestsThatTheServiceTakes(t *testing.T) {
	f, send := serve(t, ", logstream: mine")
	batch := awstest.Several(8)
	start := batch[0].Time
	for i, offset := range []time.Duration{3 * time.Hour, 0, 30 * time.Hour, time.Hour, 2 * time.Hour, 31 * time.Hour, 24 * time.Hour, 29 * time.Hour} {
		batch[i].Time = start.Add(offset)
	}
	batch[2].Output = strings.Repeat("x", 1_000_000) // the last but one
	batch[5].Output = strings.Repeat("x", 100_000)
	if err := send(batch...); err != nil {
		t.Fatal(err)
	}
	want := []string{"PutLogEvents mine 4", "PutLogEvents mine 3", "PutLogEvents mine 1"}
	if got := operations(t, f.Take()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEventsThatTheServiceLeavesOutAreRejected(t *testing.T) {
	f, send := serve(t, ", logstream: mine")
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		_, _ = io.WriteString(w, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":2,"tooNewLogEventStartIndex":4}}`)
	})
	batch := awstest.Several(5)
	for i := range batch {
		batch[i].Time = batch[i].Time.Add(-time.Duration(i) * time.Minute) // the last first
	}
	err := send(batch...)
	want := []outputstest.Outcome{outputstest.Rejected, outputstest.Delivered, outputstest.Delivered, outputstest.Rejected, outputstest.Rejected}
	if got := awstest.Each(err, 5); !slices.Equal(got, want) || !strings.Contains(err.Error(), "2 hours ahead") {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		_, _ = io.WriteString(w, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1000,"tooNewLogEventStartIndex":-7}}`)
	})
	if got := awstest.Each(send(batch...), 5); slices.Contains(got, outputstest.Delivered) {
		t.Errorf("got %q, want all of them rejected", got)
	}
}

func TestTheTokenThatIsAskedForIsSent(t *testing.T) {
	f, send := serve(t, ", logstream: mine")
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		if req, err := read([]byte(c.Body)); err != nil || req.SequenceToken != "42" {
			w.Header().Set("X-Amzn-Errortype", "InvalidSequenceTokenException")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"expectedSequenceToken":"42","message":"The given sequenceToken is invalid"}`)
			return
		}
		awstest.Fault(w, 400, "DataAlreadyAcceptedException", "The given batch of log events has already been accepted")
	})
	if err := send(outputstest.Plain()); err != nil {
		t.Error(err)
	}
	if n := len(f.Take()); n != 2 {
		t.Errorf("%d requests were made, want two", n)
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f, send := serve(t, ", logstream: mine")
	huge := outputstest.Plain()
	huge.Output = strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		status      int
		code        string
		small, huge outputstest.Outcome
	}{
		{400, "InvalidParameterException", outputstest.Held, outputstest.Rejected},
		{400, "UnrecognizedClientException", outputstest.Held, outputstest.Held},
		{400, "AccessDeniedException", outputstest.Held, outputstest.Held},
		{400, "ThrottlingException", outputstest.NotNow, outputstest.NotNow},
		{500, "ServiceUnavailableException", outputstest.NotNow, outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.Fault(w, c.status, c.code, "of course") })
		if err := send(outputstest.Plain()); outputstest.OutcomeOf(err) != c.small || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s is %q (%v), want %q", c.code, outputstest.OutcomeOf(err), err, c.small)
		}
		if err := send(huge); outputstest.OutcomeOf(err) != c.huge {
			t.Errorf("%s for a large event is %q (%v), want %q", c.code, outputstest.OutcomeOf(err), err, c.huge)
		}
	}
}
