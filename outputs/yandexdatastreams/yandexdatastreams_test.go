package yandexdatastreams

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	access = "accesskeyid: AKIDEXAMPLE, secretaccesskey: " + awstest.Secret
	name   = "streamname: /ru-central1/b1g0123456789/etn0123456789/falco"
)

func Test(t *testing.T) {
	awstest.Isolate(t)
	outputstest.HTTP{
		Kind:   "yandexdatastreams",
		Config: "{endpoint: URL, " + access + ", " + name + "}",
		Secret: awstest.Secret,
		Wrong: map[string]string{
			"{" + access + "}":                                 "streamname: is required",
			"{" + name + "}":                                   "accesskeyid: is required",
			"{" + access + ", streamname: a b}":                "streamname: must be the name of a stream",
			"{" + access + ", " + name + ", endpoint: yandex}": "endpoint",
			"{" + access + ", " + name + ", region: ''}":       "region: must not be empty",
			"{" + access + ", " + name + ", proxy: 'ftp://p'}": "proxy",
		},
		Answer:      awstest.AnswerKinesis,
		Clean:       awstest.Clean,
		NoRedirects: true,
	}.Run(t)
}

func TestRequestsAreSignedWithTheKeysOfYandexAlone(t *testing.T) {
	f := awstest.Serve(t)
	t.Setenv("AWS_REGION", "us-gov-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", awstest.RoleAccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awstest.RoleSecret)
	t.Setenv("AWS_SESSION_TOKEN", awstest.RoleToken)
	f.Answer(func(w http.ResponseWriter, c awstest.Call) { awstest.AnswerKinesis(w, c.Request, []byte(c.Body)) })
	sender := awstest.Open(t, "yandexdatastreams", "{endpoint: '"+f.URL+"', "+access+", "+name+"}")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	for n := range 2 {
		if err := sender.Send(t.Context(), awstest.Several(n+1)); err != nil {
			t.Error(err)
		}
	}
	calls := f.Take()
	for _, c := range calls {
		if c.Service != "kinesis" || c.Region != "ru-central1" || c.AccessKeyID != "AKIDEXAMPLE" || c.Request.Header.Get("X-Amz-Security-Token") != "" {
			t.Errorf("signed for %s in %s by %s", c.Service, c.Region, c.AccessKeyID)
		}
	}
	targets := []string{calls[0].Request.Header.Get("X-Amz-Target"), calls[1].Request.Header.Get("X-Amz-Target")}
	if want := []string{"Kinesis_20131202.PutRecord", "Kinesis_20131202.PutRecords"}; !slices.Equal(targets, want) {
		t.Errorf("got %q, want %q", targets, want)
	}
}

func TestAStreamThatIsNotThereHoldsTheEvents(t *testing.T) {
	f := awstest.Serve(t)
	sender := awstest.Open(t, "yandexdatastreams", "{endpoint: '"+f.URL+"', "+access+", "+name+"}")
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		awstest.Fault(w, 400, "ResourceNotFoundException", "no stream")
	})
	err := sender.Send(t.Context(), awstest.Batch())
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "no stream") {
		t.Errorf("got %v", err)
	}
}
