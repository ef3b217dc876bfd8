// Package tracee reads what Aqua Tracee sends to a webhook or writes as JSON: its classic
// form (eventName, args, matchedPolicies) and the one of its v1beta1 API (name, data,
// workload, threat).
//
// An event of a signature has the signature's name as its rule and the priority of its
// severity; any other is named after the event and is Informational.
package tracee

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// Source is the events' source.
const Source = "tracee"

// Decode implements adapter.Decode.
func Decode(m adapter.Message) ([]event.Event, error) {
	return adapter.Objects(m, func(raw json.RawMessage) (event.Event, error) {
		var form struct {
			EventName string          `json:"eventName"`
			Name      string          `json:"name"`
			Workload  json.RawMessage `json:"workload"`
		}
		if err := adapter.Unmarshal(raw, &form); err != nil {
			return event.Event{}, err
		}
		switch {
		case form.EventName != "":
			return classic(raw, m.Now)
		case form.Name != "":
			return v1beta1(raw, m.Now)
		}
		return event.Event{}, errors.New(`member "eventName": is required`)
	})
}

// severities are Tracee's, from 0.
var severities = []event.Priority{event.Informational, event.Notice, event.Warning, event.Error, event.Critical}

// trace is an event in the classic form.
type trace struct {
	Timestamp         json.Number     `json:"timestamp"`
	HostName          string          `json:"hostName"`
	ProcessName       string          `json:"processName"`
	Executable        pathOf          `json:"executable"`
	ProcessID         json.RawMessage `json:"processId"`
	HostProcessID     json.RawMessage `json:"hostProcessId"`
	HostParentProcess json.RawMessage `json:"hostParentProcessId"`
	HostThreadID      json.RawMessage `json:"hostThreadId"`
	UserID            json.RawMessage `json:"userId"`
	ContainerID       string          `json:"containerId"`
	Container         struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Image  string `json:"image"`
		Digest string `json:"imageDigest"`
	} `json:"container"`
	Kubernetes struct {
		Pod       string `json:"podName"`
		Namespace string `json:"podNamespace"`
		UID       string `json:"podUID"`
	} `json:"kubernetes"`
	EventID     json.RawMessage `json:"eventId"`
	EventName   string          `json:"eventName"`
	Policies    []string        `json:"matchedPolicies"`
	ReturnValue json.RawMessage `json:"returnValue"`
	Syscall     string          `json:"syscall"`
	Args        []argument      `json:"args"`
	Metadata    *metadata       `json:"metadata"`
}

type pathOf struct {
	Path string `json:"path"`
}

type argument struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// metadata is what a signature says of itself.
type metadata struct {
	Version     string
	Description string
	Tags        []string
	Properties  map[string]json.RawMessage
}

// property returns a property that is text, or a number's text.
func (m *metadata) property(name string) string {
	if m == nil {
		return ""
	}
	var text string
	if raw := m.Properties[name]; json.Unmarshal(raw, &text) != nil {
		var number json.Number
		if json.Unmarshal(raw, &number) != nil {
			return ""
		}
		return number.String()
	}
	return text
}

func (m *metadata) priority() event.Priority {
	word := m.property("Severity")
	if n, err := strconv.Atoi(word); err == nil {
		return severities[min(max(n, 0), len(severities)-1)]
	}
	p, ok := adapter.Severity(word)
	if !ok {
		p = event.Informational
	}
	return p
}

func classic(raw json.RawMessage, now time.Time) (event.Event, error) {
	var t trace
	if err := adapter.Unmarshal(raw, &t); err != nil {
		return event.Event{}, err
	}
	at, err := t.time(now)
	if err != nil {
		return event.Event{}, err
	}
	fields, err := t.fields()
	e := event.Event{
		Output: t.text(), Priority: t.Metadata.priority(), Rule: cmp.Or(t.Metadata.property("signatureName"), t.EventName),
		Time: at, Fields: fields, Source: Source, Hostname: t.HostName,
	}
	if t.Timestamp != "" { // of a nanosecond there is one such event
		e.UUID = adapter.ID(Source, string(raw))
	}
	if t.Metadata != nil {
		e.Tags = slices.Concat(t.Metadata.Tags, tags(t.Metadata.property("Category"), t.Metadata.property("external_id")))
	}
	return e, err
}

// tags leaves out what is empty.
func tags(all ...string) []string {
	return slices.DeleteFunc(all, func(t string) bool { return t == "" })
}

// time reads the timestamp, nanoseconds since 1970. Tracee can be told to count from the
// machine's start instead, which says nothing here.
func (t *trace) time(now time.Time) (time.Time, error) {
	const year2000 = 946684800 * int64(time.Second)
	if t.Timestamp == "" {
		return now, nil
	}
	ns, err := t.Timestamp.Int64()
	if err != nil {
		return time.Time{}, fmt.Errorf("member %q: must be nanoseconds, not %q", "timestamp", t.Timestamp)
	}
	if ns < year2000 {
		return now, nil
	}
	return time.Unix(0, ns).UTC(), nil
}

func (t *trace) text() string {
	var l adapter.Line
	if t.Metadata != nil {
		l.Say(cmp.Or(t.Metadata.Description, t.Metadata.property("signatureName")))
	}
	if l.String() == "" {
		l.Say("Tracee", t.EventName)
	}
	l.Fact("event", t.EventName)
	l.Fact("process", t.ProcessName)
	l.Fact("pid", string(t.HostProcessID))
	l.Fact("user_uid", string(t.UserID))
	l.Fact("container_id", adapter.ShortID(cmp.Or(t.Container.ID, t.ContainerID)))
	l.Fact("container_image", t.Container.Image)
	l.Fact("k8s_ns", t.Kubernetes.Namespace)
	l.Fact("k8s_pod_name", t.Kubernetes.Pod)
	l.Fact("policies", strings.Join(t.Policies, ","))
	return l.String()
}

func (t *trace) fields() ([]event.Field, error) {
	var f adapter.Fields
	f.Text("evt.type", t.EventName)
	f.Raw("evt.rawres", t.ReturnValue)
	f.Text("proc.name", t.ProcessName)
	f.Text("proc.exepath", t.Executable.Path)
	f.Raw("proc.pid", t.HostProcessID)
	f.Raw("proc.vpid", t.ProcessID)
	f.Raw("proc.ppid", t.HostParentProcess)
	f.Raw("thread.tid", t.HostThreadID)
	f.Raw("user.uid", t.UserID)
	id := cmp.Or(t.Container.ID, t.ContainerID)
	f.Text("container.id", adapter.ShortID(id))
	f.Text("container.full_id", adapter.FullID(id))
	f.Text("container.name", t.Container.Name)
	f.Text("container.image", t.Container.Image)
	f.Text("container.image.digest", t.Container.Digest)
	f.Text("k8s.ns.name", t.Kubernetes.Namespace)
	f.Text("k8s.pod.name", t.Kubernetes.Pod)
	f.Text("k8s.pod.uid", t.Kubernetes.UID)
	f.Raw("tracee.event_id", t.EventID)
	f.Text("tracee.syscall", t.Syscall)
	f.Text("tracee.policies", strings.Join(t.Policies, ","))
	for _, a := range t.Args {
		f.Raw("evt.arg."+a.Name, a.Value)
		if a.Name == "pathname" {
			f.Raw("fd.name", a.Value)
		}
	}
	if t.Metadata != nil {
		f.Text("tracee.version", t.Metadata.Version)
		for name, value := range t.Metadata.Properties {
			f.Raw("tracee."+name, value)
		}
	}
	return f.Sorted()
}
