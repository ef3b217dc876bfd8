package tracee

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// apiEvent is an event in the form of the v1beta1 API, as protobuf's JSON.
type apiEvent struct {
	Timestamp string          `json:"timestamp"`
	ID        json.RawMessage `json:"id"`
	Name      string          `json:"name"`
	Policies  struct {
		Matched []string `json:"matched"`
	} `json:"policies"`
	Workload struct {
		Process struct {
			Executable pathOf          `json:"executable"`
			HostPID    json.RawMessage `json:"hostPid"`
			PID        json.RawMessage `json:"pid"`
			RealUser   struct {
				ID json.RawMessage `json:"id"`
			} `json:"realUser"`
			Thread struct {
				Name    string          `json:"name"`
				HostTID json.RawMessage `json:"hostTid"`
				Syscall string          `json:"syscall"`
			} `json:"thread"`
			Ancestors json.RawMessage `json:"ancestors"`
		} `json:"process"`
		Container struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Image struct {
				Name string `json:"name"`
			} `json:"image"`
		} `json:"container"`
		K8s struct {
			Pod struct {
				Name   string          `json:"name"`
				UID    string          `json:"uid"`
				Labels json.RawMessage `json:"labels"`
			} `json:"pod"`
			Namespace struct {
				Name string `json:"name"`
			} `json:"namespace"`
		} `json:"k8s"`
	} `json:"workload"`
	Data   []map[string]json.RawMessage `json:"data"`
	Threat *struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Severity    string          `json:"severity"`
		Properties  json.RawMessage `json:"properties"`
		Mitre       struct {
			Tactic struct {
				Name string `json:"name"`
			} `json:"tactic"`
			Technique struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"technique"`
		} `json:"mitre"`
	} `json:"threat"`
}

func v1beta1(raw json.RawMessage, now time.Time) (event.Event, error) {
	var a apiEvent
	if err := adapter.Unmarshal(raw, &a); err != nil {
		return event.Event{}, err
	}
	at, err := adapter.Time("timestamp", a.Timestamp, now)
	if err != nil {
		return event.Event{}, err
	}
	fields, err := a.fields()
	e := event.Event{
		Output: a.text(), Priority: event.Informational, Rule: a.Name, Time: at, Fields: fields, Source: Source,
	}
	if a.Timestamp != "" {
		e.UUID = adapter.ID(Source, string(raw))
	}
	if t := a.Threat; t != nil {
		e.Rule = cmp.Or(t.Name, a.Name)
		// Protobuf's JSON leaves out the first value, which is INFO.
		if p, ok := adapter.Severity(t.Severity); ok {
			e.Priority = p
		}
		e.Tags = tags(t.Mitre.Tactic.Name, t.Mitre.Technique.ID)
	}
	return e, err
}

func (a *apiEvent) text() string {
	var l adapter.Line
	if a.Threat != nil {
		l.Say(cmp.Or(a.Threat.Description, a.Threat.Name))
	}
	if l.String() == "" {
		l.Say("Tracee", a.Name)
	}
	w := &a.Workload
	l.Fact("event", a.Name)
	l.Fact("process", w.Process.Thread.Name)
	l.Fact("pid", string(w.Process.HostPID))
	l.Fact("user_uid", string(w.Process.RealUser.ID))
	l.Fact("container_id", adapter.ShortID(w.Container.ID))
	l.Fact("container_image", w.Container.Image.Name)
	l.Fact("k8s_ns", w.K8s.Namespace.Name)
	l.Fact("k8s_pod_name", w.K8s.Pod.Name)
	l.Fact("policies", strings.Join(a.Policies.Matched, ","))
	return l.String()
}

func (a *apiEvent) fields() ([]event.Field, error) {
	var f adapter.Fields
	w := &a.Workload
	f.Text("evt.type", a.Name)
	f.Text("proc.name", w.Process.Thread.Name)
	f.Text("proc.exepath", w.Process.Executable.Path)
	f.Raw("proc.pid", w.Process.HostPID)
	f.Raw("proc.vpid", w.Process.PID)
	f.Raw("thread.tid", w.Process.Thread.HostTID)
	f.Raw("user.uid", w.Process.RealUser.ID)
	f.Text("container.id", adapter.ShortID(w.Container.ID))
	f.Text("container.full_id", adapter.FullID(w.Container.ID))
	f.Text("container.name", w.Container.Name)
	f.Text("container.image", w.Container.Image.Name)
	f.Text("k8s.ns.name", w.K8s.Namespace.Name)
	f.Text("k8s.pod.name", w.K8s.Pod.Name)
	f.Text("k8s.pod.uid", w.K8s.Pod.UID)
	f.Raw("k8s.pod.labels", w.K8s.Pod.Labels)
	f.Raw("tracee.event_id", a.ID)
	f.Text("tracee.syscall", w.Process.Thread.Syscall)
	f.Text("tracee.policies", strings.Join(a.Policies.Matched, ","))
	f.Raw("tracee.ancestors", w.Process.Ancestors)
	for _, d := range a.Data {
		a.addData(&f, d)
	}
	if t := a.Threat; t != nil {
		f.Text("tracee.severity", t.Severity)
		f.Text("tracee.tactic", t.Mitre.Tactic.Name)
		f.Text("tracee.technique_id", t.Mitre.Technique.ID)
		f.Text("tracee.technique", t.Mitre.Technique.Name)
		f.Flatten("tracee.properties", t.Properties)
	}
	return f.Sorted()
}

// addData adds one value of the event: {"name": …} and a member whose name is the value's
// type.
func (a *apiEvent) addData(f *adapter.Fields, d map[string]json.RawMessage) {
	var name string
	if json.Unmarshal(d["name"], &name) != nil {
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(d)) {
		if kind == "name" {
			continue
		}
		f.Raw("evt.arg."+name, d[kind])
		if name == "pathname" {
			f.Raw("fd.name", d[kind])
		}
	}
}
