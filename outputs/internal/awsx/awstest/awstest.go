// Package awstest is a server that speaks as AWS does, for the tests of outputs for AWS.
// It checks the signature of every request with the SDK's own signer, plays STS itself,
// and leaves the rest to the test.
package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Secret is the secret access key that the fake knows the user's key by.
const Secret = "s3cretAccessKeyExample"

// The credentials that the fake's STS gives to who assumes a role.
const (
	RoleAccessKeyID = "ASIAROLE"
	RoleSecret      = "r0leSecretExample"
	RoleToken       = "r0leTokenExample"
)

// Batch is a batch of one event.
func Batch() []event.Event { return []event.Event{outputstest.Plain()} }

// Isolate takes from the environment all that the SDK might find there, so that a test
// neither uses real credentials nor looks for an instance's metadata.
func Isolate(t *testing.T) {
	t.Helper()
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_SESSION_TOKEN": "", "AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_ENDPOINT_URL": "", "AWS_CA_BUNDLE": "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
	} {
		t.Setenv(name, value)
	}
}

// Call is a request whose signature was right.
type Call struct {
	Request                      *http.Request
	Body                         string
	Form                         url.Values // of STS
	Service, Region, AccessKeyID string
}

// Fake is the server.
type Fake struct {
	// URL is its address.
	URL    string
	t      *testing.T
	mu     sync.Mutex
	calls  []Call
	answer func(http.ResponseWriter, Call)
}

// Serve starts a Fake that AWS_ENDPOINT_URL names, in an environment as of Isolate. It
// lives until the test ends, and the test then fails if a goroutine is left.
func Serve(t *testing.T) *Fake {
	t.Helper()
	Isolate(t)
	outputstest.NoLeak(t)
	f := &Fake{t: t}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.URL = s.URL
	t.Setenv("AWS_ENDPOINT_URL", f.URL)
	return f
}

// Answer changes what is answered to every call; nil accepts all.
func (f *Fake) Answer(answer func(http.ResponseWriter, Call)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// Take returns the calls since it was last called.
func (f *Fake) Take() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.calls
	f.calls = nil
	return taken
}

// Actions is Take as a text: service and STS action of each call, separated by spaces.
func (f *Fake) Actions() string {
	var all []string
	for _, c := range f.Take() {
		all = append(all, c.Service+":"+c.Form.Get("Action"))
	}
	return strings.Join(all, " ")
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, err := check(r)
	if err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		Fault(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	f.mu.Lock()
	f.calls = append(f.calls, call)
	answer := f.answer
	f.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, call)
	case call.Service == "sts":
		serveSTS(w, call)
	default:
		_, _ = io.WriteString(w, `"done"`)
	}
}

// check signs the request once more and compares the signatures.
func check(r *http.Request) (Call, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Call{}, err
	}
	given := r.Header.Get("Authorization")
	var key, date, region, service string
	credential, rest, _ := strings.Cut(strings.TrimPrefix(given, "AWS4-HMAC-SHA256 Credential="), ",")
	scope := strings.Split(credential, "/")
	if len(scope) != 5 {
		return Call{}, fmt.Errorf("no credential in %q", given)
	}
	key, date, region, service = scope[0], scope[1], scope[2], scope[3]
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != date || time.Since(at).Abs() > 5*time.Minute {
		return Call{}, fmt.Errorf("the date %q is wrong: %w", r.Header.Get("X-Amz-Date"), err)
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.RequestURI, bytes.NewReader(body))
	if err != nil {
		return Call{}, err
	}
	_, signed, _ := strings.Cut(rest, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: Secret}
	if key == RoleAccessKeyID {
		credentials.SecretAccessKey, credentials.SessionToken = RoleSecret, RoleToken
	}
	hash := hex.EncodeToString(sum[:])
	if said := r.Header.Get("X-Amz-Content-Sha256"); said != "" && said != hash {
		return Call{}, fmt.Errorf("the body's sum is %s, the header says %q", hash, said)
	}
	asIs := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }
	err = v4.NewSigner().SignHTTP(r.Context(), credentials, again, hash, service, region, at, asIs)
	if err != nil {
		return Call{}, err
	}
	if wanted := again.Header.Get("Authorization"); given != wanted {
		return Call{}, fmt.Errorf("the signature is wrong: got %q, want %q", given, wanted)
	}
	call := Call{Request: r, Body: string(body), Service: service, Region: region, AccessKeyID: key}
	if service == "sts" {
		call.Form, err = url.ParseQuery(call.Body)
	}
	return call, err
}

func serveSTS(w http.ResponseWriter, c Call) {
	switch c.Form.Get("Action") {
	case "AssumeRole":
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
			`<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>`+
			`</Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			RoleAccessKeyID, RoleSecret, RoleToken, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	case "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
			`<Arn>arn:aws:iam::123456789012:user/falco</Arn><UserId>AIDA</UserId><Account>123456789012</Account>`+
			`</GetCallerIdentityResult></GetCallerIdentityResponse>`)
	default:
		FaultXML(w, http.StatusBadRequest, "InvalidAction", "no such action")
	}
}

// Fault answers as services with JSON do.
func Fault(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"Type":"User","message":%q,"Message":%q}`, message, message)
}

// FaultXML answers as services with forms do: STS and SNS.
func FaultXML(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code, message)
}

// FaultS3 answers as S3 does.
func FaultS3(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>1</RequestId></Error>`, code, message)
}

// changing matches the headers of a recorded request that differ from run to run or with
// the SDK's version.
var changing = regexp.MustCompile(`(?m)^(Amz-Sdk-Invocation-Id|Authorization|User-Agent|X-Amz-Date): .*$`)

// Clean makes a recorded request fit for a golden file.
func Clean(text string) string { return changing.ReplaceAllString(text, "$1: (varies)") }

// Open makes a sender of the kind called name for the fake that the environment names. It
// is closed when the test ends.
func Open(t *testing.T, name, text string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New(name, text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return sender
}

// Access is the configuration, in YAML, of the user that the fake knows.
const Access = "accesskeyid: AKIDEXAMPLE, secretaccesskey: " + Secret + ", region: eu-west-1, checkidentity: false"

// Several returns n different events.
func Several(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = outputstest.Plain()
		all[i].UUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	}
	return all
}

// Each returns the outcome of every event of a batch of n.
func Each(err error, n int) []outputstest.Outcome {
	all := make([]outputstest.Outcome, n)
	parts, partly := errors.AsType[outputs.Partial](err)
	for i := range all {
		all[i] = outputstest.OutcomeOf(err)
		if partly {
			all[i] = outputstest.OutcomeOf(parts[i])
		}
	}
	return all
}
