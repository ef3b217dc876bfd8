package awss3

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "endpoint: URL, " + awstest.Access + ", bucket: falco-events"
	outputstest.HTTP{
		Kind:   "awss3",
		Config: "{" + common + "}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"event_keys": "{" + common + ", keys: event, prefix: a/b c, objectcannedacl: private}",
			"ndjson":     "{" + common + ", keys: event, format: ndjson, prefix: '', objectcannedacl: ''}",
		},
		Wrong: map[string]string{
			"{}":                                     "bucket: is required",
			"{bucket: 'a b'}":                        "bucket: must be the name of a bucket",
			"{bucket: falco, endpoint: localhost}":   "endpoint: must be",
			"{bucket: falco, format: xml}":           "format: must be one of json, ndjson",
			"{bucket: falco, objectcannedacl: mine}": "objectcannedacl: must be one of private",
			"{bucket: falco, prefix: " + strings.Repeat("p", 901) + "}": "prefix: must have at most 900 bytes",
		},
		Answer:      awstest.AnswerBucket,
		Clean:       awstest.CleanBucket,
		NoRedirects: true,
	}.Run(t)
}

// serve starts a fake that answers as S3 does, and a sender for it.
func serve(t *testing.T, extra string) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(accept)
	sender := awstest.Open(t, "awss3", "{"+awstest.Access+", bucket: falco-events"+extra+"}")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

func accept(w http.ResponseWriter, c awstest.Call) {
	awstest.AnswerBucket(w, c.Request, []byte(c.Body))
}

func TestEventsOfOneMomentHaveDifferentKeys(t *testing.T) {
	const senders, each = 4, 50
	for _, keys := range []string{"time", "event"} {
		f, send := serve(t, ", keys: "+keys)
		batch := awstest.Several(senders * each)
		var all sync.WaitGroup
		for i := range senders {
			all.Go(func() {
				if err := send(batch[i*each : (i+1)*each]...); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		objects := map[string]bool{}
		for _, c := range f.Take() {
			objects[awstest.Key(c.Request.URL)] = true
		}
		if len(objects) != len(batch) {
			t.Errorf("%s: %d events are in %d objects", keys, len(batch), len(objects))
		}
	}
}

func TestWhatIsSentTwiceIsStoredOnceWhenKeysAreOfTheEvent(t *testing.T) {
	for _, format := range []string{"json", "ndjson"} {
		f, send := serve(t, ", keys: event, format: "+format)
		for range 2 {
			if err := send(awstest.Several(3)...); err != nil {
				t.Fatal(err)
			}
		}
		calls := f.Take()
		half := len(calls) / 2
		for i := range half {
			if first, second := awstest.Key(calls[i].Request.URL), awstest.Key(calls[i+half].Request.URL); first != second {
				t.Errorf("got the keys %s and %s", first, second)
			}
		}
	}
}

func TestTheBucketIsInTheHostUnlessThatCannotBe(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"":                        false,
		"https://s3.example.test": false,
		"http://127.0.0.1:9000":   true,
		"http://[::1]:9000":       true,
		"http://localhost:9000":   true,
	} {
		for _, asked := range []bool{false, true} {
			c := Config{Endpoint: endpoint, PathStyle: asked}
			if got := c.newClient(awsConfig).Options().UsePathStyle; got != (want || asked) {
				t.Errorf("%q with pathstyle %t: got %t", endpoint, asked, got)
			}
		}
	}
}

func TestOneEventThatFailsLeavesTheOthers(t *testing.T) {
	f, send := serve(t, "")
	n := 0
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		switch n++; n {
		case 2:
			awstest.FaultS3(w, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size")
		case 4:
			awstest.FaultS3(w, 503, "SlowDown", "Please reduce your request rate.")
		default:
			accept(w, c)
		}
	})
	want := []outputstest.Outcome{
		outputstest.Delivered, outputstest.Rejected, outputstest.Delivered, outputstest.NotNow, outputstest.NotNow,
	}
	err := send(awstest.Several(5)...)
	if got := awstest.Each(err, 5); !slices.Equal(got, want) || n != 4 {
		t.Errorf("got %q (%v) after %d requests, want %q after 4", got, err, n, want)
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f, send := serve(t, "")
	for _, c := range []struct {
		status int
		code   string
		want   outputstest.Outcome
	}{
		{404, "NoSuchBucket", outputstest.Held},
		{403, "AccessDenied", outputstest.Held},
		{403, "SignatureDoesNotMatch", outputstest.Held},
		{403, "InvalidAccessKeyId", outputstest.Held},
		{400, "AccessControlListNotSupported", outputstest.Held},
		{400, "InvalidBucketName", outputstest.Held},
		{400, "ExpiredToken", outputstest.Held},
		{301, "PermanentRedirect", outputstest.Held},
		{400, "KeyTooLongError", outputstest.Rejected},
		{400, "EntityTooLarge", outputstest.Rejected},
		{400, "BadDigest", outputstest.NotNow},
		{400, "RequestTimeout", outputstest.NotNow},
		{409, "OperationAborted", outputstest.NotNow},
		{500, "InternalError", outputstest.NotNow},
		{503, "SlowDown", outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.FaultS3(w, c.status, c.code, "of course") })
		f.Take()
		err := send(awstest.Batch()...)
		if got := outputstest.OutcomeOf(err); got != c.want || !strings.Contains(fmt.Sprint(err), "of course") {
			t.Errorf("%s is %q (%v), want %q", c.code, got, err, c.want)
		}
		if calls := len(f.Take()); calls != 1 {
			t.Errorf("%s: %d attempts were made, want one", c.code, calls)
		}
	}
}
