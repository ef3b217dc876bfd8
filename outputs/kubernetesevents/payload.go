package kubernetesevents

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/kubex"
)

// Limits of the API server, in bytes.
const (
	maxNote   = 1024
	maxReason = 128
	// maxName is the longest name that an object can have. The API server does not look at
	// the names in regarding; this keeps them small.
	maxName = 253
	// maxAnnotation is ours: annotations may have 256 KiB together.
	maxAnnotation = 4096
)

// nodeNamespace is where Kubernetes wants events about objects that are in no namespace.
const nodeNamespace = "default"

// object is an Event of events.k8s.io/v1.
type object struct {
	APIVersion          string    `json:"apiVersion"`
	Kind                string    `json:"kind"`
	Metadata            metadata  `json:"metadata"`
	EventTime           string    `json:"eventTime"`
	ReportingController string    `json:"reportingController"`
	ReportingInstance   string    `json:"reportingInstance"`
	Action              string    `json:"action"`
	Reason              string    `json:"reason"`
	Regarding           kubex.Ref `json:"regarding"`
	Note                string    `json:"note,omitempty"`
	Type                string    `json:"type"`
}

type metadata struct {
	Name         string            `json:"name,omitempty"`
	GenerateName string            `json:"generateName,omitempty"`
	Namespace    string            `json:"namespace"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// payload is the object that the golden files pin.
func payload(e event.Event) object {
	o := object{
		APIVersion: "events.k8s.io/v1", Kind: "Event",
		Metadata: metadata{
			Name:      "saker." + e.UUID,
			Namespace: nodeNamespace,
			Annotations: map[string]string{
				"saker/priority": e.Priority.String(),
				"saker/rule":     falcotext.Cut(e.Rule, maxAnnotation),
			},
		},
		EventTime:           e.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		ReportingController: "saker",
		ReportingInstance:   cutBytes(e.Hostname, maxReason),
		Action:              "Detected",
		Reason:              reason(e.Rule),
		Regarding:           regarding(e),
		Note:                cutBytes(e.Output, maxNote),
		Type:                "Warning",
	}
	if e.UUID == "" {
		o.Metadata.Name, o.Metadata.GenerateName = "", "saker."
	}
	if o.ReportingInstance == "" {
		o.ReportingInstance = "saker"
	}
	if e.Priority <= event.Notice {
		o.Type = "Normal"
	}
	if o.Regarding.Namespace != "" {
		o.Metadata.Namespace = o.Regarding.Namespace
	}
	return o
}

// regarding is what the event is about: the pod, the object of an audit event, the node, or
// where none of them is known the namespace.
func regarding(e event.Event) kubex.Ref {
	ref, ok := kubex.Subject(e)
	switch namespace := kubex.NamespaceOf(e); {
	case ok:
	case e.Hostname != "":
		// The kubelet, too, writes a node's name as its uid.
		ref = kubex.Ref{Kind: "Node", Name: e.Hostname, UID: e.Hostname, APIVersion: "v1"}
	case namespace != "":
		ref = kubex.Ref{Kind: "Namespace", Name: namespace, APIVersion: "v1"}
	default:
		ref = kubex.Ref{Kind: "Namespace", Name: nodeNamespace, APIVersion: "v1"}
	}
	if kubex.CheckName(ref.Namespace) != nil { // it becomes a part of the request's path
		ref.Namespace = ""
	}
	ref.Name, ref.UID = cutBytes(ref.Name, maxName), cutBytes(ref.UID, maxReason)
	return ref
}

// reason is a rule's name as Kubernetes writes reasons: WriteBelowBinaryDir.
func reason(rule string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(rule, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		first, size := utf8.DecodeRuneInString(word)
		b.WriteRune(unicode.ToUpper(first))
		b.WriteString(word[size:])
	}
	if b.Len() == 0 {
		return "Rule"
	}
	return cutBytes(b.String(), maxReason)
}

// cutBytes returns s if it has at most n bytes, and otherwise as much of it as fits with an
// ellipsis.
func cutBytes(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	cut := n - len(falcotext.Ellipsis)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + falcotext.Ellipsis
}
