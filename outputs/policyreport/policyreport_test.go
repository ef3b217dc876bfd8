package policyreport

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/kubex/kubextest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const token = "s3cretT0ken"

// kubeconfig sends what is for the API server to the test server.
const kubeconfig = `kubeconfig: '{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"s3cretT0ken"}}]}'`

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "policyreport",
		Config: "{enabled: true, sources: [], " + kubeconfig + "}",
		Secret: token,
		Answer: func(w http.ResponseWriter, r *http.Request, body []byte) { newCluster().serve(w, r, body) },
		Clean:  kubextest.CleanToken(token),
		Variants: map[string]string{
			"openreports": "{enabled: true, api: openreports.io/v1alpha1, " + kubeconfig + "}",
		},
		// Its first request is a GET, which may follow a redirect.
		NoRedirects: true,
		Wrong: map[string]string{
			"{}": "enabled",
			"{enabled: true, kubeconfig: /does/not/exist}":             "no such file",
			"{enabled: true, maxevents: 0, " + kubeconfig + "}":        "maxevents: must be at least 1",
			"{enabled: true, falconamespace: a b, " + kubeconfig + "}": "falconamespace",
			"{enabled: true, api: v1, " + kubeconfig + "}":             "must be one of",
		},
	}.Run(t)
}

// cluster is an API server with policy reports.
type cluster struct {
	mu         sync.Mutex
	objects    map[string]report
	version    int
	namespaces []string // those that exist; nil for all
	conflicts  int      // updates that somebody else is faster than
	deleted    bool     // the next update finds its object deleted
	most       int      // bytes of an object; 0 for any
}

func newCluster() *cluster { return &cluster{objects: map[string]report{}} }

func (c *cluster) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !kubextest.Authorized(w, r, token) {
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/")
	namespaced := len(parts) > 3 && parts[2] == "namespaces"
	switch old, found := c.objects[r.URL.Path]; {
	case r.Method == http.MethodGet && !found:
		kubextest.Refuse(w, http.StatusNotFound, "NotFound", "not found", `{"name":"x","kind":"policyreports"}`)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(old)
	case namespaced && c.namespaces != nil && !slices.Contains(c.namespaces, parts[3]):
		kubextest.Refuse(w, http.StatusNotFound, "NotFound", "namespaces not found", fmt.Sprintf(`{"name":%q,"kind":"namespaces"}`, parts[3]))
	case c.most > 0 && len(body) > c.most:
		kubextest.Refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", "")
	default:
		c.write(w, r, body)
	}
}

// write creates or updates an object, as strictly as the API server with the definitions
// of the custom resources.
func (c *cluster) write(w http.ResponseWriter, r *http.Request, body []byte) {
	var object report
	var meta struct{ Name, ResourceVersion string }
	if err := json.Unmarshal(body, &object); err != nil || json.Unmarshal(object.Metadata, &meta) != nil || meta.Name == "" {
		kubextest.Refuse(w, http.StatusBadRequest, "BadRequest", "the object provided is unrecognized", "")
		return
	}
	for _, raw := range object.Results {
		var one result
		if err := json.Unmarshal(raw, &one); err != nil || one.Policy == "" || one.Timestamp.Seconds == 0 && one.Timestamp.Nanos == 0 ||
			!slices.Contains(severities, one.Severity) || !slices.Contains([]string{"pass", "fail", "warn", "error", "skip"}, one.Result) {
			kubextest.Refuse(w, http.StatusUnprocessableEntity, "Invalid", "is invalid", "")
			return
		}
	}
	path := r.URL.Path
	if r.Method == http.MethodPost {
		path += "/" + meta.Name
	}
	_, found := c.objects[path]
	switch {
	case r.Method == http.MethodPut && c.deleted:
		c.deleted = false
		delete(c.objects, path)
		kubextest.Refuse(w, http.StatusNotFound, "NotFound", "not found", fmt.Sprintf(`{"name":%q,"kind":"policyreports"}`, meta.Name))
		return
	case r.Method == http.MethodPost && found:
		kubextest.Refuse(w, http.StatusConflict, "AlreadyExists", "already exists", "")
		return
	case r.Method == http.MethodPut && (c.conflicts > 0 || meta.ResourceVersion != fmt.Sprint(c.version)):
		c.conflicts = max(c.conflicts-1, 0)
		kubextest.Refuse(w, http.StatusConflict, "Conflict", "the object has been modified", "")
		return
	}
	c.version++
	object.Metadata = fmt.Appendf(nil, `{"name":%q,"resourceVersion":"%d"}`, meta.Name, c.version)
	c.objects[path] = object
	_ = json.NewEncoder(w).Encode(object)
}

func (c *cluster) open(t *testing.T, extra string) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.serve(w, r, body)
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("policyreport", strings.ReplaceAll("{enabled: true, "+kubeconfig+extra+"}", "URL", server.URL), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const namespaceReport = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/ns1/policyreports/falco-policy-report"

func numbered(i int, p event.Priority) event.Event {
	e := outputstest.Plain()
	e.Priority, e.Output = p, fmt.Sprintf("event %d", i)
	return e
}

// messages are what the results of a report say.
func (c *cluster) messages(t *testing.T, path string) (all []string) {
	t.Helper()
	for _, raw := range c.objects[path].Results {
		var one result
		if err := json.Unmarshal(raw, &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one.Message)
	}
	return all
}

func TestAReportKeepsTheLastEvents(t *testing.T) {
	c := newCluster()
	s := c.open(t, ", maxevents: 3")
	for i := range 5 {
		if err := s.Send(t.Context(), []event.Event{numbered(i, event.Error)}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.messages(t, namespaceReport), []string{"event 2", "event 3", "event 4"}; !slices.Equal(got, want) {
		t.Errorf("the report has %q, want %q", got, want)
	}
	if got := c.objects[namespaceReport].Summary; got != (summary{Fail: 3}) {
		t.Errorf("the summary is %+v", got)
	}
}

func TestTheLeastSevereGoFirstIfAsked(t *testing.T) {
	c := newCluster()
	s := c.open(t, ", maxevents: 2, prunebypriority: true")
	batch := []event.Event{numbered(1, event.Critical), numbered(2, event.Notice), numbered(3, event.Warning)}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got, want := c.messages(t, namespaceReport), []string{"event 1", "event 3"}; !slices.Equal(got, want) {
		t.Errorf("the report has %q, want %q", got, want)
	}
}

func TestAnEventThatIsSentTwiceIsThereOnce(t *testing.T) {
	c := newCluster()
	s := c.open(t, "")
	for range 2 {
		if err := s.Send(t.Context(), []event.Event{outputstest.Plain(), numbered(1, event.Debug)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.messages(t, namespaceReport); len(got) != 2 {
		t.Errorf("the report has %q", got)
	}
}

func TestAConflictIsTriedAgainAtOnce(t *testing.T) {
	c := newCluster()
	s := c.open(t, "")
	for i := range 2 {
		if err := s.Send(t.Context(), []event.Event{numbered(i, event.Error)}); err != nil {
			t.Fatal(err)
		}
		c.conflicts = 3
	}
	if got := c.messages(t, namespaceReport); len(got) != 2 {
		t.Errorf("the report has %q", got)
	}
	c.conflicts = 100
	if err := s.Send(t.Context(), []event.Event{numbered(3, event.Error)}); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without an end of conflicts: %v", err)
	}
}

func TestAReportThatIsDeletedMeanwhileIsMadeAnew(t *testing.T) {
	c := newCluster()
	s := c.open(t, "")
	for i := range 2 {
		if err := s.Send(t.Context(), []event.Event{numbered(i, event.Error)}); err != nil {
			t.Fatal(err)
		}
		c.deleted = i == 0
	}
	if got := c.messages(t, namespaceReport); len(got) != 1 || got[0] != "event 1" {
		t.Errorf("the report has %q", got)
	}
}

func TestEventsOfANamespaceThatIsGoneGoElsewhere(t *testing.T) {
	c := newCluster()
	c.namespaces = []string{"falco"}
	s := c.open(t, ", falconamespace: falco")
	if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Fatal(err)
	}
	instead := strings.Replace(namespaceReport, "ns1", "falco", 1)
	if got := c.messages(t, instead); len(got) != 1 {
		t.Errorf("the report has %q", got)
	}
}

func TestAReportThatTheServerFindsTooLargeBecomesSmaller(t *testing.T) {
	c := newCluster()
	c.most = 200 << 10
	s := c.open(t, "")
	var batch []event.Event
	for i := range 150 {
		e := numbered(i, event.Error)
		e.Output += strings.Repeat("x", 8000)
		batch = append(batch, e)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := c.messages(t, namespaceReport)
	if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "event 149") {
		t.Errorf("the report has %d results", len(got))
	}
}

func TestOnlyEventsOfItsSourcesAreReported(t *testing.T) {
	c := newCluster()
	s := c.open(t, "")
	other := outputstest.Plain()
	other.Source = "okta"
	if err := s.Send(t.Context(), []event.Event{other}); err != nil || len(c.objects) != 0 {
		t.Errorf("%v: %d reports", err, len(c.objects))
	}
}

func TestReportsFailEachOnItsOwn(t *testing.T) {
	c := newCluster()
	c.namespaces = []string{"default", "ns1"}
	s := c.open(t, ", falconamespace: gone")
	other := outputstest.Plain()
	other.Fields = []event.Field{{Name: "k8s.ns.name", Value: event.StringValue("ns2")}}
	err := s.Send(t.Context(), []event.Event{outputstest.Plain(), other})
	failed, ok := err.(outputs.Partial) //nolint:errorlint // Send returns it as it is
	if !ok || len(failed) != 1 || !outputs.Held(failed[1]) {
		t.Errorf("send: %v", err)
	}
}
