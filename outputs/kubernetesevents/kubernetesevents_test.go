package kubernetesevents

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/kubex/kubextest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const token = "s3cretT0ken"

// kubeconfig sends what is for the API server to the test server.
const kubeconfig = `kubeconfig: '{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"s3cretT0ken"}}]}'`

// accept creates the object if the API server would.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	if !kubextest.Authorized(w, r, token) {
		return
	}
	if err := invalid(r.URL.Path, body); err != nil {
		kubextest.Refuse(w, http.StatusUnprocessableEntity, "Invalid", err.Error(), "")
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

// invalid says what the API server's validation of events.k8s.io/v1 finds.
func invalid(path string, body []byte) error {
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return err
	}
	_, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", o.EventTime)
	namespace := o.Regarding.Namespace
	if namespace == "" {
		namespace = nodeNamespace
	}
	switch {
	case err != nil:
		return err
	case o.Reason == "" || len(o.Reason) > 128:
		return fmt.Errorf("reason: %q", o.Reason)
	case o.Action == "" || len(o.Action) > 128, o.ReportingController == "":
		return fmt.Errorf("action: %q", o.Action)
	case o.ReportingInstance == "" || len(o.ReportingInstance) > 128:
		return fmt.Errorf("reportingInstance: %q", o.ReportingInstance)
	case len(o.Note) > 1024:
		return fmt.Errorf("note of %d bytes", len(o.Note))
	case o.Type != "Normal" && o.Type != "Warning":
		return fmt.Errorf("type: %q", o.Type)
	case path != "/elsewhere" && !strings.HasSuffix(path, "/namespaces/"+o.Metadata.Namespace+"/events"):
		return fmt.Errorf("the namespace %q is not that of %s", o.Metadata.Namespace, path)
	case namespace != o.Metadata.Namespace:
		return fmt.Errorf("involvedObject.namespace: %q does not match", namespace)
	}
	return nil
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "kubernetesevents",
		Config: "{enabled: true, " + kubeconfig + "}",
		Secret: token,
		Answer: accept,
		Clean:  kubextest.CleanToken(token),
		Wrong: map[string]string{
			"{}":                                     "enabled",
			"{enabled: true, kubeconfig: /not/here}": "no such file",
			"{enabled: true, namespace: a/b, " + kubeconfig + "}":   "namespace",
			"{enabled: true, proxy: 'ftp://x', " + kubeconfig + "}": "proxy",
		},
	}.Run(t)
}

func open(t *testing.T, serve http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	s, err := outputstest.New("kubernetesevents", strings.ReplaceAll("{enabled: true, namespace: security, "+kubeconfig+"}", "URL", server.URL), outputstest.Env(t))
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

func TestAnEventThatIsThereAlreadyCountsAsDelivered(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, _ *http.Request) {
		kubextest.Refuse(w, http.StatusConflict, "AlreadyExists", `events.events.k8s.io "saker.x" already exists`, "")
	})
	if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Error(err)
	}
}

func TestAnEventOfANamespaceThatIsGoneIsKeptElsewhere(t *testing.T) {
	var paths []string
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		if strings.Contains(r.URL.Path, "/ns1/") {
			kubextest.Refuse(w, http.StatusNotFound, "NotFound", `namespaces "ns1" not found`, `{"name":"ns1","kind":"namespaces"}`)
		}
	})
	e := outputstest.Plain()
	e.Fields = event.SortFields([]event.Field{
		{Name: "k8s.ns.name", Value: event.StringValue("ns1")}, {Name: "k8s.pod.name", Value: event.StringValue("web-0")},
	})
	if err := s.Send(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	if len(paths) != 2 || !strings.Contains(paths[1], "/namespaces/security/") {
		t.Errorf("requests for %q", paths)
	}
}

func FuzzWhateverAnEventSaysTheServerTakesIt(f *testing.F) {
	f.Add("Write below binary dir", "output", "node", "ns", "pod", "pods", "target")
	f.Add("", strings.Repeat("é", 2000), strings.Repeat("n", 300), "../x", "", "nodes", "a\x00b")
	f.Fuzz(func(t *testing.T, rule, output, host, namespace, pod, resource, target string) {
		e := outputstest.Plain()
		e.Rule, e.Output, e.Hostname = rule, output, host
		e.Fields = event.SortFields([]event.Field{
			{Name: "k8s.ns.name", Value: event.StringValue(namespace)},
			{Name: "k8s.pod.name", Value: event.StringValue(pod)},
			{Name: "ka.target.resource", Value: event.StringValue(resource)},
			{Name: "ka.target.name", Value: event.StringValue(target)},
		})
		o := payload(e)
		body, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := invalid("/namespaces/"+o.Metadata.Namespace+"/events", body); err != nil {
			t.Error(err)
		}
		if !utf8.ValidString(o.Note) || !utf8.ValidString(o.Reason) {
			t.Errorf("%q or %q is not valid text", o.Note, o.Reason)
		}
	})
}
