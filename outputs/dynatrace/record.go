package dynatrace

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/saker-security/saker/event"
)

// record is a log record, with the attributes that Dynatrace knows the meaning of.
type record struct {
	Timestamp      string  `json:"timestamp"`
	EventID        string  `json:"event.id,omitempty"`
	EventName      string  `json:"event.name,omitempty"`
	EventProvider  string  `json:"event.provider,omitempty"`
	Severity       string  `json:"severity,omitempty"`
	HostName       string  `json:"host.name,omitempty"`
	LogSource      string  `json:"log.source,omitempty"`
	Content        content `json:"content"`
	MitreTechnique string  `json:"mitre.technique,omitempty"`
	MitreTactic    string  `json:"mitre.tactic,omitempty"`
	ContainerID    string  `json:"container.id,omitempty"`
	ContainerName  string  `json:"container.name,omitempty"`
	ImageName      string  `json:"container.image.name,omitempty"`
	NamespaceName  string  `json:"k8s.namespace.name,omitempty"`
	PodName        string  `json:"k8s.pod.name,omitempty"`
	PodUID         string  `json:"k8s.pod.uid,omitempty"`
	ExecutableName string  `json:"process.executable.name,omitempty"`
	SpanID         string  `json:"span.id,omitempty"`
}

type content struct {
	Output       string          `json:"output"`
	OutputFields json.RawMessage `json:"output_fields"`
	Tags         []string        `json:"tags,omitempty"`
}

// How tags name techniques (T1070, T1055.008) and tactics (mitre_execution).
var (
	technique = regexp.MustCompile(`T\d+\.?\d*`)
	tactic    = regexp.MustCompile(`mitre_\w+`)
)

// newRecord is the log record of an event. Where several tags or fields have the same
// attribute, the last one counts.
func newRecord(e event.Event) record {
	r := record{
		Timestamp: e.Time.Format(time.RFC3339), EventID: e.UUID, EventName: e.Rule, EventProvider: "Falco",
		Severity: e.Priority.String(), HostName: e.Hostname, LogSource: e.Source,
		Content: content{e.Output, event.AppendJSONFields(nil, e.Fields), e.Tags},
	}
	for _, f := range e.Fields {
		if attribute := r.attribute(f.Name); attribute != nil {
			if text, ok := f.Value.Str(); ok {
				*attribute = text
			}
		}
		if f.Name == "span.id" && f.Value.Kind() != event.Null {
			r.SpanID = f.Value.Text()
		}
	}
	for _, tag := range e.Tags {
		if technique.MatchString(tag) {
			r.MitreTechnique = tag
		} else if tactic.MatchString(tag) {
			r.MitreTactic = tag
		}
	}
	return r
}

// attribute is where an output field of that name has its attribute, nil for no such.
func (r *record) attribute(field string) *string {
	switch field {
	case "container.id":
		return &r.ContainerID
	case "container.name":
		return &r.ContainerName
	case "container.image":
		return &r.ImageName
	case "k8s.ns.name", "ka.target.namespace":
		return &r.NamespaceName
	case "k8s.pod.name":
		return &r.PodName
	case "k8s.pod.id":
		return &r.PodUID
	case "proc.name":
		return &r.ExecutableName
	}
	return nil
}
