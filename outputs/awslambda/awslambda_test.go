package awslambda

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const access = "accesskeyid: AKIDEXAMPLE, secretaccesskey: " + awstest.Secret + ", region: eu-west-1"

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "endpointurl: URL, " + access + ", checkidentity: false"
	outputstest.HTTP{
		Kind:   "awslambda",
		Config: "{" + common + ", functionname: falco}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"arn_event": "{" + common + ", functionname: 'arn:aws:lambda:eu-west-1:123456789012:function:falco:live', invocationtype: event, logtype: none}",
		},
		Wrong: map[string]string{
			"{}":                        "functionname",
			"{functionname: 'no name'}": "functionname",
			"{functionname: f, invocationtype: Twice}":                                "must be one of RequestResponse, Event, DryRun",
			"{functionname: f, logtype: All}":                                         "must be one of Tail, None",
			"{functionname: f, accesskeyid: AKIDEXAMPLE}":                             "secretaccesskey: is required with accesskeyid",
			"{functionname: f, secretaccesskey: " + awstest.Secret + "}":              "accesskeyid: is required with secretaccesskey",
			"{functionname: f, externalid: x}":                                        "rolearn",
			"{functionname: f, endpointurl: localhost}":                               "endpointurl",
			"{functionname: f, rolearn: r, externalid: x, endpointurl: 'ftp://host'}": "endpointurl",
		},
		Clean: awstest.Clean,
		// The SDK signs host and path, so that no redirect could be right.
		NoRedirects: true,
	}.Run(t)
}

// open makes a sender for the fake that the environment names, and returns its Send.
func open(t *testing.T, extra string) func() error {
	t.Helper()
	sender, err := outputstest.New("awslambda", "{functionname: falco, "+access+extra+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return func() error { return sender.Send(t.Context(), awstest.Batch()) }
}

func TestAnInvocationIsSignedAndCarriesTheEvent(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, ", checkidentity: false")
	if err := send(); err != nil {
		t.Fatal(err)
	}
	calls := f.Take()
	if len(calls) != 1 {
		t.Fatalf("got the calls %v, want one", calls)
	}
	c := calls[0]
	want := string(payload(outputstest.Plain()))
	if c.Request.URL.Path != "/2015-03-31/functions/falco/invocations" || c.Body != want {
		t.Errorf("got %s with the body %q, want %q", c.Request.URL.Path, c.Body, want)
	}
	if c.Request.Header.Get("X-Amz-Invocation-Type") != "RequestResponse" || c.Request.Header.Get("X-Amz-Log-Type") != "Tail" {
		t.Errorf("got the headers %v", c.Request.Header)
	}
	if c.Service != "lambda" || c.Region != "eu-west-1" || c.AccessKeyID != "AKIDEXAMPLE" {
		t.Errorf("signed for %s in %s by %s", c.Service, c.Region, c.AccessKeyID)
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, ", checkidentity: false")
	for _, c := range []struct {
		status int
		code   string
		want   outputstest.Outcome
	}{
		{400, "InvalidRequestContentException", outputstest.Rejected},
		{413, "RequestTooLargeException", outputstest.Rejected},
		{413, "RequestEntityTooLargeException", outputstest.Rejected},
		{400, "InvalidParameterValueException", outputstest.Held},
		{400, "ValidationException", outputstest.Held},
		{400, "ThrottlingException", outputstest.NotNow},
		{400, "ExpiredTokenException", outputstest.Held},
		{403, "AccessDeniedException", outputstest.Held},
		{403, "InvalidSignatureException", outputstest.Held},
		{404, "ResourceNotFoundException", outputstest.Held},
		{409, "ResourceConflictException", outputstest.NotNow},
		{429, "TooManyRequestsException", outputstest.NotNow},
		{500, "ServiceException", outputstest.NotNow},
		{502, "InvalidRuntimeException", outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.Fault(w, c.status, c.code, "of course") })
		f.Take()
		err := send()
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%s is %q (%v), want %q", c.code, got, err, c.want)
		}
		if err == nil || !strings.Contains(err.Error(), c.code+": of course") {
			t.Errorf("%s: the error %q does not say so", c.code, err)
		}
		if n := len(f.Take()); n != 1 {
			t.Errorf("%s: %d attempts were made, want one", c.code, n)
		}
	}
}

func TestAFunctionThatFailedIsInvokedAgainLater(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, ", checkidentity: false")
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		_ = json.NewEncoder(w).Encode(map[string]string{"errorMessage": "out of\nmemory " + strings.Repeat("x", 10_000)})
	})
	err := send()
	if outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); !strings.HasPrefix(text, `the function failed (Unhandled): {"errorMessage":"out of`) || len(text) > 700 {
		t.Errorf("got the error %q", text)
	}
}

func TestTheIdentityIsCheckedOnceBeforeTheFirstInvocation(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, "")
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		awstest.FaultXML(w, 403, "InvalidClientTokenId", "The security token is invalid")
	})
	for range 2 {
		err := send()
		if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(fmt.Sprint(err), "check our identity with AWS") {
			t.Errorf("got %v", err)
		}
		outputstest.NoSecretIn(t, awstest.Secret, err)
	}
	if got := f.Actions(); got != "sts:GetCallerIdentity sts:GetCallerIdentity" {
		t.Errorf("got the calls %s", got)
	}
	f.Answer(nil)
	for range 2 {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
	if got := f.Actions(); got != "sts:GetCallerIdentity lambda: lambda:" {
		t.Errorf("got the calls %s", got)
	}
}

func TestARoleIsAssumedWithItsExternalID(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, ", rolearn: 'arn:aws:iam::123456789012:role/falco', externalid: ext-1")
	if err := send(); err != nil {
		t.Fatal(err)
	}
	calls := f.Take()
	if len(calls) != 3 {
		t.Fatalf("got the calls %v, want three", calls)
	}
	assume, invoke := calls[0], calls[2]
	if assume.Form.Get("RoleArn") != "arn:aws:iam::123456789012:role/falco" || assume.Form.Get("ExternalId") != "ext-1" {
		t.Errorf("got %v", assume.Form)
	}
	if invoke.AccessKeyID != awstest.RoleAccessKeyID || invoke.Request.Header.Get("X-Amz-Security-Token") != awstest.RoleToken {
		t.Errorf("the invocation was signed by %s", invoke.AccessKeyID)
	}
}

func TestARoleThatMayNotBeAssumedRejectsNothing(t *testing.T) {
	f := awstest.Serve(t)
	send := open(t, ", checkidentity: false, rolearn: 'arn:aws:iam::123456789012:role/falco'")
	for _, status := range []int{400, 403, 413} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { w.WriteHeader(status) })
		if err := send(); outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("%d from STS is %q (%v)", status, outputstest.OutcomeOf(err), err)
		}
	}
}

func TestWithoutKeysThoseOfTheEnvironmentAreUsed(t *testing.T) {
	f := awstest.Serve(t)
	t.Setenv("AWS_REGION", "us-gov-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", awstest.RoleAccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awstest.RoleSecret)
	t.Setenv("AWS_SESSION_TOKEN", awstest.RoleToken)
	sender, err := outputstest.New("awslambda", "{functionname: falco, checkidentity: false}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), awstest.Batch()); err != nil {
		t.Error(err)
	}
	if c := f.Take()[0]; c.AccessKeyID != awstest.RoleAccessKeyID || c.Region != "us-gov-west-1" {
		t.Errorf("signed in %s by %s", c.Region, c.AccessKeyID)
	}
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		awstest.Fault(w, http.StatusForbidden, "ExpiredTokenException", "no token "+c.Request.Header.Get("X-Amz-Security-Token"))
	})
	err = sender.Send(t.Context(), awstest.Batch())
	if outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecretIn(t, awstest.RoleToken, err)
	if err := sender.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

func TestTheAuthoritiesOfTheEnvironmentMustBeThere(t *testing.T) {
	awstest.Isolate(t)
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "none.pem"))
	_, err := outputstest.New("awslambda", "{functionname: falco}", outputstest.Env(t))
	if err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutARegionTheErrorSaysWhatToSet(t *testing.T) {
	awstest.Isolate(t)
	sender, err := outputstest.New("awslambda", "{functionname: falco}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), awstest.Batch()); outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(fmt.Sprint(err), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

func TestTheErrorOfAnEndpointThatIsAwaySaysWhy(t *testing.T) {
	awstest.Isolate(t)
	sender := awstest.Open(t, "awslambda", "{"+awstest.Access+", functionname: falco, endpointurl: 'http://127.0.0.1:1'}")
	err := sender.Send(t.Context(), awstest.Batch())
	if text := fmt.Sprint(err); outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.HasSuffix(text, "connection refused") || strings.Contains(text, "http") {
		t.Errorf("got %v", err)
	}
}
