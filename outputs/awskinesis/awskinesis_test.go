package awskinesis

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	awstest.Isolate(t)
	outputstest.HTTP{
		Kind:   "awskinesis",
		Config: "{endpointurl: URL, " + awstest.Access + ", streamname: falco}",
		Secret: awstest.Secret,
		Wrong: map[string]string{
			"{}":                              "streamname: is required",
			"{streamname: a b}":               "streamname: must be the name of a stream",
			"{streamname: falco, proxy: ':'}": "proxy",
		},
		Answer:      awstest.AnswerKinesis,
		Clean:       awstest.Clean,
		NoRedirects: true,
	}.Run(t)
}

// serve starts a fake that answers as Kinesis does, and a sender for it.
func serve(t *testing.T) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(func(w http.ResponseWriter, c awstest.Call) { awstest.AnswerKinesis(w, c.Request, []byte(c.Body)) })
	sender := awstest.Open(t, "awskinesis", "{"+awstest.Access+", streamname: falco}")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

func TestALargeBatchIsPutInRequestsThatKinesisTakes(t *testing.T) {
	f, send := serve(t)
	batch := awstest.Several(500)
	for i := 100; i < 106; i++ {
		batch[i].Output = strings.Repeat("x", 1_000_000)
	}
	if err := send(batch...); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, c := range f.Take() {
		var req struct {
			Records []struct{ PartitionKey string }
		}
		if err := json.Unmarshal([]byte(c.Body), &req); err != nil || c.Service != "kinesis" {
			t.Errorf("got %s (%v)", c.Service, err)
		}
		sizes = append(sizes, len(req.Records))
		if len(sizes) == 1 && req.Records[7].PartitionKey != batch[7].UUID {
			t.Errorf("got the partition key %s, want the UUID", req.Records[7].PartitionKey)
		}
	}
	if want := []int{105, 395}; !slices.Equal(sizes, want) {
		t.Errorf("got requests of %v records, want %v", sizes, want)
	}
}

func TestEachRecordOfARequestHasItsOwnOutcome(t *testing.T) {
	f, send := serve(t)
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		_, _ = io.WriteString(w, `{"FailedRecordCount":2,"Records":[{"SequenceNumber":"1","ShardId":"s"},
			{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard"},
			{"SequenceNumber":"2","ShardId":"s"},{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."},{}]}`)
	})
	err := send(awstest.Several(5)...)
	want := []outputstest.Outcome{outputstest.Delivered, outputstest.NotNow, outputstest.Delivered, outputstest.NotNow, outputstest.NotNow}
	if got := awstest.Each(err, 5); !slices.Equal(got, want) || !strings.Contains(fmt.Sprint(err), "Rate exceeded") {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestAnAnswerThatSpeaksOfOtherRecordsIsNoSuccess(t *testing.T) {
	f, send := serve(t)
	for n, body := range []string{`{}`, `{"Records":[{"SequenceNumber":"1"}]}`} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { _, _ = io.WriteString(w, body) })
		if err := send(awstest.Several(n + 1)...); outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("%s for %d events: got %v", body, n+1, err)
		}
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f, send := serve(t)
	huge := outputstest.Plain()
	huge.Output = strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		status      int
		code        string
		small, huge outputstest.Outcome
	}{
		{400, "ValidationException", outputstest.Held, outputstest.Rejected},
		{400, "InvalidArgumentException", outputstest.Held, outputstest.Rejected},
		{400, "ResourceNotFoundException", outputstest.Held, outputstest.Held},
		{400, "AccessDeniedException", outputstest.Held, outputstest.Held},
		{400, "UnrecognizedClientException", outputstest.Held, outputstest.Held},
		{400, "ProvisionedThroughputExceededException", outputstest.NotNow, outputstest.NotNow},
		{400, "KMSThrottlingException", outputstest.NotNow, outputstest.NotNow},
		{400, "KMSDisabledException", outputstest.Held, outputstest.Held},
		{500, "InternalFailure", outputstest.NotNow, outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.Fault(w, c.status, c.code, "of course") })
		f.Take()
		if err := send(outputstest.Plain()); outputstest.OutcomeOf(err) != c.small || !strings.Contains(fmt.Sprint(err), c.code) {
			t.Errorf("%s is %q (%v), want %q", c.code, outputstest.OutcomeOf(err), err, c.small)
		}
		if err := send(huge); outputstest.OutcomeOf(err) != c.huge {
			t.Errorf("%s for a large event is %q (%v), want %q", c.code, outputstest.OutcomeOf(err), err, c.huge)
		}
		if n := len(f.Take()); n != 2 {
			t.Errorf("%s: %d attempts were made for two events", c.code, n)
		}
	}
}
