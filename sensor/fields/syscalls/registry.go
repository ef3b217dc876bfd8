package syscalls

import (
	"slices"

	"github.com/saker-security/saker/sensor/fields"
)

// SourceName is the name of this event source in rules.
const SourceName = "syscall"

// NewRegistry returns the fields of kernel events. hosts may be nil; then conditions on host
// names are false. Without a Source the registry serves to check and describe rules.
func NewRegistry(hosts *Hosts) *fields.Registry {
	all := slices.Concat(
		timeFields(), eventFields(), typeFields(), openFields(), countFields(), argFields(), processFields(), lineageFields(), threadFields(),
		userFields(), descriptorFields(), socketFields(), stdioFields(), usageFields(), pathFields(), containerFields(),
		podFields(), absentFields(),
	)
	noteEvents(all)
	r := fields.NewRegistry(SourceName, all)
	r.EventTypes, r.Unwatched = eventTypes, unwatched
	r.EventType = func(ev any) int { return ev.(*Event).typeNumber() }
	if hosts != nil {
		r.Resolve = hosts.Watch
	}
	return r
}

// eventField is a field without argument that any event may have.
func eventField(name string, t fields.Type, doc string, f func(*Event) fields.Value) fields.Field {
	return fields.Field{Name: name, Type: t, Doc: doc, Extract: extractor(f)}
}
