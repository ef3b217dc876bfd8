package yandexs3

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const access = "accesskeyid: AKIDEXAMPLE, secretaccesskey: " + awstest.Secret

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "{" + access + ", bucket: falco-events"
	outputstest.HTTP{
		Kind:   "yandexs3",
		Config: common + ", endpoint: URL}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"event_keys": common + ", endpoint: URL, keys: event, prefix: a/b c}",
			"ndjson":     common + ", endpoint: URL, keys: event, format: ndjson}",
		},
		Wrong: map[string]string{
			"{}":                              "bucket: is required",
			"{bucket: falco}":                 "secretaccesskey: is required",
			common + ", endpoint: localhost}": "endpoint: must be",
			common + ", region: ''}":          "region: must not be empty",
			common + ", format: xml}":         "format: must be one of json, ndjson",
		},
		Answer:      awstest.AnswerBucket,
		Clean:       awstest.CleanBucket,
		NoRedirects: true,
	}.Run(t)
}

func TestRequestsAreSignedForYandexWithoutACLAndChecksum(t *testing.T) {
	f := awstest.Serve(t)
	endpoint := f.URL
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	sender := awstest.Open(t, "yandexs3", "{"+access+", bucket: falco-events, endpoint: '"+endpoint+"'}")
	if err := sender.Send(t.Context(), awstest.Several(2)); err != nil {
		t.Fatal(err)
	}
	calls := f.Take()
	if len(calls) != 2 {
		t.Errorf("got %d calls, want 2", len(calls))
	}
	for _, c := range calls {
		if c.Service != "s3" || c.Region != "ru-central1" || !strings.HasPrefix(c.Request.URL.Path, "/falco-events/falco/20") {
			t.Errorf("got %s, signed for %s in %s", c.Request.URL.Path, c.Service, c.Region)
		}
		for name := range c.Request.Header {
			if strings.HasPrefix(name, "X-Amz-Acl") || strings.HasPrefix(name, "X-Amz-Checksum") {
				t.Errorf("got the header %s", name)
			}
		}
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f := awstest.Serve(t)
	sender := awstest.Open(t, "yandexs3", "{"+access+", bucket: falco-events, endpoint: '"+f.URL+"'}")
	for _, c := range []struct {
		status int
		code   string
		want   outputstest.Outcome
	}{
		{404, "NoSuchBucket", outputstest.Held},
		{403, "AccessDenied", outputstest.Held},
		{403, "QuotaExceeded", outputstest.Held},
		{400, "EntityTooLarge", outputstest.Rejected},
		{503, "SlowDown", outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.FaultS3(w, c.status, c.code, "of course") })
		err := sender.Send(t.Context(), awstest.Batch())
		if got := outputstest.OutcomeOf(err); got != c.want || !strings.Contains(fmt.Sprint(err), "of course") {
			t.Errorf("%s is %q (%v), want %q", c.code, got, err, c.want)
		}
	}
}
