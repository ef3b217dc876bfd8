package awssqs

import (
	"crypto/md5"
	"encoding/hex"
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

const queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/falco"

// request is what SendMessage and SendMessageBatch take.
type request struct {
	QueueURL string `json:"QueueUrl"`
	entry
	Entries []entry
}

type entry struct {
	ID                     string `json:"Id"`
	MessageBody            string
	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
}

// answer is what SQS answers. It refuses what SQS refuses.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		awstest.Fault(w, 400, "SerializationException", err.Error())
		return
	}
	several := r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch"
	entries, total := req.Entries, 0
	if !several {
		entries = []entry{req.entry}
	}
	successful := []map[string]string{}
	for i, e := range entries {
		total += len(e.MessageBody)
		sum := md5.Sum([]byte(e.MessageBody))
		successful = append(successful, map[string]string{"Id": e.ID, "MessageId": fmt.Sprint("m", i), "MD5OfMessageBody": hex.EncodeToString(sum[:])})
		switch {
		case strings.HasSuffix(req.QueueURL, ".fifo") && (e.MessageGroupID == "" || e.MessageDeduplicationID == ""):
			awstest.Fault(w, 400, "MissingParameter", "The request must contain the parameter MessageGroupId.")
			return
		case strings.ContainsAny(e.MessageBody, "\x00\x1b\uFFFE\uFFFF"):
			awstest.Fault(w, 400, "InvalidMessageContents", "Invalid characters found")
			return
		}
	}
	if total > 1<<20 || len(entries) > 10 {
		awstest.Fault(w, 400, "AWS.SimpleQueueService.BatchRequestTooLong", "too long")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if several {
		_ = json.NewEncoder(w).Encode(map[string]any{"Successful": successful})
		return
	}
	_ = json.NewEncoder(w).Encode(successful[0])
}

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "endpointurl: URL, " + awstest.Access
	outputstest.HTTP{
		Kind:   "awssqs",
		Config: "{" + common + ", url: '" + queue + "'}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"fifo": "{" + common + ", url: '" + queue + ".fifo', messagegroupid: hosts}",
		},
		Wrong: map[string]string{
			"{}":                                 "url: is required",
			"{url: falco}":                       "url: must be",
			"{url: 'https://q', accesskeyid: A}": "secretaccesskey: is required with accesskeyid",
			"{url: 'https://q', messagegroupid: 'a b'}": "messagegroupid: must be 1 to 128",
		},
		Answer:      answer,
		Clean:       awstest.Clean,
		NoRedirects: true,
	}.Run(t)
}

// serve starts a fake that answers as SQS does, and a sender for it.
func serve(t *testing.T) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(func(w http.ResponseWriter, c awstest.Call) { answer(w, c.Request, []byte(c.Body)) })
	sender := awstest.Open(t, "awssqs", "{"+awstest.Access+", url: '"+queue+"'}")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

// sizes are how many events each request had; one in a request of its own is 1.
func sizes(t *testing.T, calls []awstest.Call) (all []int) {
	t.Helper()
	for _, c := range calls {
		var req request
		if err := json.Unmarshal([]byte(c.Body), &req); err != nil {
			t.Error(err)
		}
		all = append(all, max(1, len(req.Entries)))
	}
	return all
}

func TestALargeBatchIsSentInRequestsThatSQSTakes(t *testing.T) {
	f, send := serve(t)
	batch := awstest.Several(10)
	batch[2].Output = strings.Repeat("x", 200<<10)
	batch[3].Output = strings.Repeat("x", 100<<10)
	batch[7].Output = strings.Repeat("x", 300<<10)
	if err := send(batch...); err != nil {
		t.Fatal(err)
	}
	calls := f.Take()
	if got, want := sizes(t, calls), []int{3, 4, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("got requests of %v events, want %v", got, want)
	}
	if c := calls[0]; c.Service != "sqs" || c.Request.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessageBatch" {
		t.Errorf("got %s for %s", c.Request.Header.Get("X-Amz-Target"), c.Service)
	}
}

func TestEachEventOfABatchHasItsOwnOutcome(t *testing.T) {
	f, send := serve(t)
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		_, _ = io.WriteString(w, `{"Successful":[{"Id":"0","MessageId":"m"}],"Failed":[
			{"Id":"1","Code":"InvalidMessageContents","SenderFault":true,"Message":"bad"},
			{"Id":"2","Code":"InternalError","SenderFault":false},
			{"Id":"3","Code":"KmsThrottled","SenderFault":true},
			{"Id":"4","Code":"KMS.DisabledException","SenderFault":true},
			{"Id":"x","Code":"InternalError"},{"Id":"77","Code":"InternalError"}]}`)
	})
	want := []outputstest.Outcome{
		outputstest.Delivered, outputstest.Rejected, outputstest.NotNow, outputstest.NotNow, outputstest.Held, outputstest.NotNow,
	}
	err := send(awstest.Several(6)...)
	if got := awstest.Each(err, 6); !slices.Equal(got, want) {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestWhatFollowsAFailedRequestIsNotSent(t *testing.T) {
	f, send := serve(t)
	batch := awstest.Several(4)
	for i := range batch {
		batch[i].Output = strings.Repeat("x", 200<<10)
	}
	n := 0
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		if n++; n == 2 {
			awstest.Fault(w, 503, "ServiceUnavailable", "busy")
			return
		}
		answer(w, c.Request, []byte(c.Body))
	})
	err := send(batch...)
	want := []outputstest.Outcome{outputstest.Delivered, outputstest.NotNow, outputstest.NotNow, outputstest.NotNow}
	if got := awstest.Each(err, 4); !slices.Equal(got, want) || len(f.Take()) != 2 {
		t.Errorf("got %q (%v), want %q after two requests", got, err, want)
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f, send := serve(t)
	for _, c := range []struct {
		status int
		code   string
		want   outputstest.Outcome
	}{
		{400, "AWS.SimpleQueueService.NonExistentQueue", outputstest.Held},
		{400, "InvalidAddress", outputstest.Held},
		{400, "MissingParameter", outputstest.Held},
		{400, "InvalidMessageContents", outputstest.Rejected},
		{400, "InvalidParameterValue", outputstest.Rejected},
		{400, "AWS.SimpleQueueService.BatchRequestTooLong", outputstest.Rejected},
		{400, "RequestThrottled", outputstest.NotNow},
		{400, "KmsThrottled", outputstest.NotNow},
		{400, "KmsDisabled", outputstest.Held},
		{403, "AccessDenied", outputstest.Held},
		{403, "ExpiredToken", outputstest.Held},
		{500, "InternalError", outputstest.NotNow},
		{503, "ServiceUnavailable", outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.Fault(w, c.status, c.code, "of course") })
		for n := range 2 {
			f.Take()
			err := send(awstest.Several(n + 1)...)
			if got := outputstest.OutcomeOf(err); got != c.want || !strings.Contains(fmt.Sprint(err), "of course") {
				t.Errorf("%s for %d events is %q (%v), want %q", c.code, n+1, got, err, c.want)
			}
			if calls := len(f.Take()); calls != 1 {
				t.Errorf("%s: %d attempts were made, want one", c.code, calls)
			}
		}
	}
}

func TestAnAnswerWithoutAMessageIDIsNoSuccess(t *testing.T) {
	f, send := serve(t)
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) { _, _ = io.WriteString(w, "{}") })
	for n := range 2 {
		if err := send(awstest.Several(n + 1)...); err == nil || awstest.Each(err, n+1)[0] != outputstest.NotNow {
			t.Errorf("%d events: got %v", n+1, err)
		}
	}
}

func TestNoncharactersAreEscaped(t *testing.T) {
	_, send := serve(t)
	e := outputstest.Plain()
	e.Output = "a\uFFFE\\\uFFFFb"
	if err := send(e); err != nil {
		t.Error(err)
	}
	var read event.Event
	if err := json.Unmarshal([]byte(*payload(Config{}, []event.Event{e})[0].MessageBody), &read); err != nil || read.Output != e.Output {
		t.Errorf("read back %q (%v), want %q", read.Output, err, e.Output)
	}
}
