package kubernetesevents

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/kubex"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// TestRealServerTakesEveryEvent runs against the cluster of the kubeconfig that
// SAKER_TEST_KUBECONFIG names, and deletes what it has made there.
func TestRealServerTakesEveryEvent(t *testing.T) {
	path := os.Getenv("SAKER_TEST_KUBECONFIG")
	if path == "" {
		t.Skip("the test needs a cluster: SAKER_TEST_KUBECONFIG")
	}
	outputstest.NoLeak(t)
	s, err := New(Config{Enabled: true, Kubeconfig: config.NewSecret(path), Namespace: "default"}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	one := s.(*sender)
	defer one.Close()
	all := outputstest.Events()
	text := func(name, value string) event.Field { return event.Field{Name: name, Value: event.StringValue(value)} }
	for name, fields := range map[string][]event.Field{
		"pod":          {text("k8s.ns.name", "default"), text("k8s.pod.name", "web-0"), text("k8s.pod.uid", "6f1c")},
		"pod_gone":     {text("k8s.ns.name", "saker-no-such-namespace"), text("k8s.pod.name", "web-0")},
		"cluster_wide": {text("ka.target.namespace", "kube-public"), text("ka.target.resource", "namespaces"), text("ka.target.name", "kube-public")},
		"odd_names":    {text("k8s.ns.name", "../é"), text("k8s.pod.name", "A b/é")},
	} {
		e := outputstest.Plain().WithFields(fields...)
		e.UUID = "00000000-0000-4000-8000-0000000000f" + string(rune('0'+len(all)%10))
		all = append(all, outputstest.Fixture{Name: name, Event: e})
	}
	for _, f := range all {
		for range 2 { // the second finds it there
			if err := one.Send(t.Context(), []event.Event{f.Event}); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
		o := payload(f.Event)
		if kubex.NamespaceOf(f.Event) != "" && o.Metadata.Namespace != "default" {
			o.Metadata.Namespace = found(t, one, o)
		}
		at := kubex.Path("apis", "events.k8s.io", "v1", "namespaces", o.Metadata.Namespace, "events", o.Metadata.Name)
		answer, err := one.kube.Do(t.Context(), http.MethodGet, at, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		var got object
		if err := json.Unmarshal(answer, &got); err != nil || got.Regarding != o.Regarding || got.Note != o.Note {
			t.Errorf("%s: the server has %+v (%v)", f.Name, got, err)
		}
		if _, err := one.kube.Do(t.Context(), http.MethodDelete, at, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// found is the namespace that the object was put into: its own, if that exists.
func found(t *testing.T, s *sender, o object) string {
	t.Helper()
	_, err := s.kube.Do(t.Context(), http.MethodGet, kubex.Path("api", "v1", "namespaces", o.Metadata.Namespace), nil, nil)
	switch kubex.Reason(err) {
	case kubex.NotFound:
		return s.Namespace
	case "":
		return o.Metadata.Namespace
	}
	t.Fatal(err)
	return ""
}
