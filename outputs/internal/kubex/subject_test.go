package kubex

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
)

// about makes an event of fields: "name=text name=text".
func about(fields string) event.Event {
	var e event.Event
	for f := range strings.FieldsSeq(fields) {
		name, text, _ := strings.Cut(f, "=")
		e = e.WithFields(event.Field{Name: name, Value: event.StringValue(text)})
	}
	return e
}

func TestTheSubjectOfAnEvent(t *testing.T) {
	for fields, want := range map[string]Ref{
		"k8s.pod.name=p": {Kind: "Pod", Name: "p", APIVersion: "v1"},
		"k8s.pod.name=p k8s.ns.name=n k8s.pod.uid=u":                           {"Pod", "n", "p", "u", "v1"},
		"k8s.pod.name=p k8s.pod.uid=<NA>":                                      {Kind: "Pod", Name: "p", APIVersion: "v1"},
		"k8s.pod.name=p ka.target.resource=nodes ka.target.name=n":             {Kind: "Pod", Name: "p", APIVersion: "v1"},
		"ka.target.resource=secrets ka.target.name=s ka.target.namespace=n":    {Kind: "Secret", Namespace: "n", Name: "s", APIVersion: "v1"},
		"ka.target.resource=jobs ka.target.name=<NA> ka.resp.name=r":           {Kind: "Job", Name: "r", APIVersion: "batch/v1"},
		"ka.target.resource=namespaces ka.target.name=n ka.target.namespace=n": {Kind: "Namespace", Name: "n", APIVersion: "v1"},
		"ka.target.resource=clusterroles ka.target.name=r k8s.ns.name=n":       {Kind: "ClusterRole", Name: "r", APIVersion: "rbac.authorization.k8s.io/v1"},
		"":                        {},
		"k8s.pod.name=<NA>":       {},
		"ka.target.resource=pods": {},
		"ka.target.name=p":        {},
		"ka.target.resource=other ka.target.name=p": {},
	} {
		got, ok := Subject(about(fields))
		if got != want || ok != (want != Ref{}) {
			t.Errorf("%s: got %+v, %v, want %+v", fields, got, ok, want)
		}
	}
}

func TestEveryKnownResourceIsASubject(t *testing.T) {
	for resource, kind := range kinds {
		ref, ok := Subject(about("ka.target.resource=" + resource + " ka.target.name=x ka.target.namespace=n"))
		if !ok || ref.APIVersion != kind[0] || ref.Kind != kind[1] || (ref.Namespace == "") != clusterWide[ref.Kind] {
			t.Errorf("%s: got %+v, %v", resource, ref, ok)
		}
	}
}

func TestTheNamespaceOfAnEvent(t *testing.T) {
	for fields, want := range map[string]string{
		"":                                       "",
		"k8s.ns.name=a":                          "a",
		"ka.target.namespace=b":                  "b",
		"k8s.ns.name=a ka.target.namespace=b":    "a",
		"k8s.ns.name=<NA> ka.target.namespace=b": "b",
	} {
		if got := NamespaceOf(about(fields)); got != want {
			t.Errorf("%s: got %q, want %q", fields, got, want)
		}
	}
	if got := NamespaceOf(event.Event{}.WithFields(event.Field{Name: "k8s.ns.name", Value: event.NumberValue("1")})); got != "" {
		t.Errorf("a number is %q", got)
	}
}
