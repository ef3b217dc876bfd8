package kubex

import "github.com/saker-security/saker/event"

// Ref names an object of the cluster, as an ObjectReference of the API does.
type Ref struct {
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	UID        string `json:"uid,omitempty"`
	APIVersion string `json:"apiVersion,omitempty"`
}

// kinds are the resources that audit rules are about: version of the API, and kind.
var kinds = map[string][2]string{
	"pods":                   {"v1", "Pod"},
	"services":               {"v1", "Service"},
	"secrets":                {"v1", "Secret"},
	"configmaps":             {"v1", "ConfigMap"},
	"namespaces":             {"v1", "Namespace"},
	"nodes":                  {"v1", "Node"},
	"serviceaccounts":        {"v1", "ServiceAccount"},
	"persistentvolumes":      {"v1", "PersistentVolume"},
	"persistentvolumeclaims": {"v1", "PersistentVolumeClaim"},
	"daemonsets":             {"apps/v1", "DaemonSet"},
	"deployments":            {"apps/v1", "Deployment"},
	"replicasets":            {"apps/v1", "ReplicaSet"},
	"statefulsets":           {"apps/v1", "StatefulSet"},
	"cronjobs":               {"batch/v1", "CronJob"},
	"jobs":                   {"batch/v1", "Job"},
	"ingresses":              {"networking.k8s.io/v1", "Ingress"},
	"networkpolicies":        {"networking.k8s.io/v1", "NetworkPolicy"},
	"clusterroles":           {"rbac.authorization.k8s.io/v1", "ClusterRole"},
	"clusterrolebindings":    {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding"},
	"roles":                  {"rbac.authorization.k8s.io/v1", "Role"},
	"rolebindings":           {"rbac.authorization.k8s.io/v1", "RoleBinding"},
}

// clusterWide are the kinds that are in no namespace. An audit event still has one for some
// of them, a namespace's own name for one.
var clusterWide = map[string]bool{
	"Namespace": true, "Node": true, "PersistentVolume": true, "ClusterRole": true, "ClusterRoleBinding": true,
}

// Subject returns the object that an event is about: the pod of k8s.pod.name, or that of
// the audit fields ka.target.resource and ka.target.name or ka.resp.name. It is false when
// the event names none. The namespace of one in no namespace is empty.
func Subject(e event.Event) (Ref, bool) {
	if pod := text(e, "k8s.pod.name"); pod != "" {
		return Ref{Kind: "Pod", Namespace: NamespaceOf(e), Name: pod, UID: text(e, "k8s.pod.uid"), APIVersion: "v1"}, true
	}
	kind, known := kinds[text(e, "ka.target.resource")]
	name := text(e, "ka.target.name")
	if name == "" {
		name = text(e, "ka.resp.name")
	}
	if !known || name == "" {
		return Ref{}, false
	}
	ref := Ref{Kind: kind[1], Namespace: NamespaceOf(e), Name: name, APIVersion: kind[0]}
	if clusterWide[ref.Kind] {
		ref.Namespace = ""
	}
	return ref, true
}

// NamespaceOf returns the namespace of k8s.ns.name or ka.target.namespace, "" if the event
// has neither.
func NamespaceOf(e event.Event) string {
	if ns := text(e, "k8s.ns.name"); ns != "" {
		return ns
	}
	return text(e, "ka.target.namespace")
}

// text is a field's text; "" for none and for what Falco writes in place of none.
func text(e event.Event, name string) string {
	v, ok := e.Field(name)
	if s, isString := v.Str(); ok && isString && s != "<NA>" {
		return s
	}
	return ""
}
