// Package tetragon reads what Cilium Tetragon exports: the events of its API as JSON, one
// after the other as in its export file, or in an array as log shippers send them.
//
// An event of a tracing policy has the policy's name as its rule and is a Warning, or an
// Error when the policy has acted (killed, overridden). Those without a policy, which tell
// of processes beginning and ending, are Informational. A tag such as "severity:critical"
// overrules both.
package tetragon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// Source is the events' source.
const Source = "tetragon"

// Decode implements adapter.Decode.
func Decode(m adapter.Message) ([]event.Event, error) {
	return adapter.Objects(m, func(raw json.RawMessage) (event.Event, error) { return decode(raw, m.Now) })
}

// envelope is what stands beside the event proper.
type envelope struct {
	NodeName    string          `json:"node_name"`
	ClusterName string          `json:"cluster_name"`
	Time        string          `json:"time"`
	NodeLabels  json.RawMessage `json:"node_labels"`
}

// report is the event proper: what its types, from process_exec to process_lsm, have in
// all. Numbers are taken as they come, because those of 64 bits are written as strings.
type report struct {
	Process      process           `json:"process"`
	Parent       process           `json:"parent"`
	FunctionName string            `json:"function_name"`
	Subsys       string            `json:"subsys"`
	Event        string            `json:"event"`
	Path         string            `json:"path"`
	Symbol       string            `json:"symbol"`
	PolicyName   string            `json:"policy_name"`
	Message      string            `json:"message"`
	Tags         []string          `json:"tags"`
	Action       string            `json:"action"`
	ReturnAction string            `json:"return_action"`
	Signal       string            `json:"signal"`
	Status       json.RawMessage   `json:"status"`
	Args         []json.RawMessage `json:"args"`
	Return       json.RawMessage   `json:"return"`
}

type process struct {
	ExecID    string          `json:"exec_id"`
	PID       json.RawMessage `json:"pid"`
	UID       json.RawMessage `json:"uid"`
	AUID      json.RawMessage `json:"auid"`
	CWD       string          `json:"cwd"`
	Binary    string          `json:"binary"`
	Arguments string          `json:"arguments"`
	StartTime string          `json:"start_time"`
	Docker    string          `json:"docker"`
	User      struct {
		Name string `json:"name"`
	} `json:"user"`
	Pod struct {
		Namespace    string          `json:"namespace"`
		Name         string          `json:"name"`
		UID          string          `json:"uid"`
		Workload     string          `json:"workload"`
		WorkloadKind string          `json:"workload_kind"`
		Labels       json.RawMessage `json:"pod_labels"`
		Container    struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Image struct {
				Name string `json:"name"`
			} `json:"image"`
		} `json:"container"`
	} `json:"pod"`
}

func (p *process) name() string { return strings.TrimPrefix(path.Base("/"+p.Binary), "/") }

func (p *process) cmdline() string { return strings.TrimSpace(p.name() + " " + p.Arguments) }

// unsetLoginUID is the login id of who has not logged in; Falco writes it as -1.
const unsetLoginUID = "4294967295"

func decode(raw json.RawMessage, now time.Time) (event.Event, error) {
	var members map[string]json.RawMessage
	if err := adapter.Unmarshal(raw, &members); err != nil {
		return event.Event{}, err
	}
	kind, err := kindOf(members)
	if err != nil {
		return event.Event{}, err
	}
	var about envelope
	if err := adapter.Unmarshal(raw, &about); err != nil {
		return event.Event{}, err
	}
	var r report
	if err := adapter.Unmarshal(members[kind], &r); err != nil {
		return event.Event{}, fmt.Errorf("member %q: %w", kind, err)
	}
	at, err := adapter.Time("time", cmp.Or(about.Time, r.Process.StartTime), now)
	if err != nil {
		return event.Event{}, err
	}
	fields, err := r.fields(kind, &about)
	e := event.Event{
		Output: r.text(kind), Priority: r.priority(), Rule: cmp.Or(r.PolicyName, "Tetragon "+kind), Time: at,
		Fields: fields, Source: Source, Tags: r.Tags, Hostname: about.NodeName,
	}
	if about.Time != "" { // of a nanosecond there is one such event
		e.UUID = adapter.ID(Source, string(raw))
	}
	return e, err
}

// kindOf returns the member that holds the event proper.
func kindOf(members map[string]json.RawMessage) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if strings.HasPrefix(name, "process_") || name == "rate_limit_info" {
			return name, nil
		}
	}
	return "", errors.New("must have a member such as process_exec or process_kprobe")
}

func (r *report) priority() event.Priority {
	for _, tag := range r.Tags {
		if word, ok := strings.CutPrefix(strings.ToLower(tag), "severity:"); ok {
			if p, ok := adapter.Severity(word); ok {
				return p
			}
		}
	}
	switch {
	case acted(r.Action) || acted(r.ReturnAction):
		return event.Error
	case r.PolicyName != "":
		return event.Warning
	}
	return event.Informational
}

// acted reports whether an action of a policy interferes with the process.
func acted(action string) bool {
	switch strings.TrimPrefix(action, "KPROBE_ACTION_") {
	case "SIGKILL", "SIGNAL", "OVERRIDE", "NOTIFYENFORCER", "NOTIFYKILLER", "SET":
		return true
	}
	return false
}

// call names the hook that reported.
func (r *report) call() string {
	return cmp.Or(r.FunctionName, r.Event, r.Symbol)
}

func (r *report) text(kind string) string {
	var l adapter.Line
	l.Say(cmp.Or(r.Message, "Tetragon "+strings.ReplaceAll(kind, "_", " ")))
	p := &r.Process
	l.Fact("policy", r.PolicyName)
	l.Fact("function", r.call())
	l.Fact("fd", r.fd())
	l.Fact("action", strings.TrimPrefix(r.Action, "KPROBE_ACTION_"))
	l.Fact("signal", r.Signal)
	l.Fact("process", p.name())
	l.Fact("command", p.cmdline())
	l.Fact("parent", r.Parent.name())
	l.Fact("user_uid", string(p.UID))
	l.Fact("container_id", adapter.ShortID(cmp.Or(p.Pod.Container.ID, p.Docker)))
	l.Fact("container_image", p.Pod.Container.Image.Name)
	l.Fact("k8s_ns", p.Pod.Namespace)
	l.Fact("k8s_pod_name", p.Pod.Name)
	return l.String()
}

func (r *report) fields(kind string, about *envelope) ([]event.Field, error) {
	var f adapter.Fields
	p, parent := &r.Process, &r.Parent
	f.Text("evt.type", cmp.Or(r.call(), kind))
	f.Text("proc.name", p.name())
	f.Text("proc.exepath", p.Binary)
	f.Text("proc.args", p.Arguments)
	f.Text("proc.cmdline", p.cmdline())
	f.Text("proc.cwd", p.CWD)
	f.Raw("proc.pid", p.PID)
	f.Text("proc.pname", parent.name())
	f.Text("proc.pexepath", parent.Binary)
	f.Text("proc.pcmdline", parent.cmdline())
	f.Raw("proc.ppid", parent.PID)
	f.Raw("user.uid", p.UID)
	f.Text("user.name", p.User.Name)
	if string(p.AUID) == unsetLoginUID {
		f.Int("user.loginuid", -1)
	} else {
		f.Raw("user.loginuid", p.AUID)
	}
	f.Text("fd.name", r.fd())
	id := cmp.Or(p.Pod.Container.ID, p.Docker)
	f.Text("container.id", adapter.ShortID(id))
	f.Text("container.full_id", adapter.FullID(id))
	f.Text("container.name", p.Pod.Container.Name)
	f.Text("container.image", p.Pod.Container.Image.Name)
	f.Text("k8s.ns.name", p.Pod.Namespace)
	f.Text("k8s.pod.name", p.Pod.Name)
	f.Text("k8s.pod.uid", p.Pod.UID)
	f.Raw("k8s.pod.labels", p.Pod.Labels)
	r.ownFields(&f, kind, about)
	return f.Sorted()
}

// ownFields are those that Falco has no name for.
func (r *report) ownFields(f *adapter.Fields, kind string, about *envelope) {
	f.Text("tetragon.type", kind)
	f.Text("tetragon.cluster", about.ClusterName)
	f.Raw("tetragon.node_labels", about.NodeLabels)
	f.Text("tetragon.exec_id", r.Process.ExecID)
	f.Text("tetragon.parent_exec_id", r.Parent.ExecID)
	f.Text("tetragon.workload", r.Process.Pod.Workload)
	f.Text("tetragon.workload_kind", r.Process.Pod.WorkloadKind)
	f.Text("tetragon.policy", r.PolicyName)
	f.Text("tetragon.subsys", r.Subsys)
	f.Text("tetragon.path", r.Path)
	f.Text("tetragon.action", r.Action)
	f.Text("tetragon.return_action", r.ReturnAction)
	f.Text("tetragon.signal", r.Signal)
	f.Raw("tetragon.status", r.Status)
	f.Raw("tetragon.return", r.Return)
	if len(r.Args) > 0 {
		// Marshal fails only for values that cannot be written; these have just been read.
		all, _ := json.Marshal(r.Args)
		f.Raw("tetragon.args", all)
	}
}

// fd names the first file or connection among the arguments, as Falco's fd.name does.
func (r *report) fd() string {
	for _, raw := range r.Args {
		var arg struct {
			FileArg *struct{ Path string } `json:"file_arg"`
			PathArg *struct{ Path string } `json:"path_arg"`
			SockArg *socket                `json:"sock_arg"`
			SkbArg  *socket                `json:"skb_arg"`
			Binprm  *struct{ Path string } `json:"linux_binprm_arg"`
		}
		if json.Unmarshal(raw, &arg) != nil {
			continue
		}
		switch {
		case arg.FileArg != nil:
			return arg.FileArg.Path
		case arg.PathArg != nil:
			return arg.PathArg.Path
		case arg.Binprm != nil:
			return arg.Binprm.Path
		case arg.SockArg != nil:
			return arg.SockArg.String()
		case arg.SkbArg != nil:
			return arg.SkbArg.String()
		}
	}
	return ""
}

type socket struct {
	SAddr string      `json:"saddr"`
	DAddr string      `json:"daddr"`
	SPort json.Number `json:"sport"`
	DPort json.Number `json:"dport"`
}

func (s *socket) String() string {
	if s.SAddr == "" && s.DAddr == "" {
		return ""
	}
	return s.SAddr + ":" + s.SPort.String() + "->" + s.DAddr + ":" + s.DPort.String()
}
