package syscalls

import (
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

// eventsWith returns the names of the event types whose kind of record has something. It is
// not nil: an empty one means no event at all.
func eventsWith(has func(probe.Kind) bool) []string {
	names := []string{}
	for _, k := range probe.Kinds() {
		if has(k) {
			names = append(names, typesOf(k)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noteEvents sets Events of the fields that only some events have, by asking the code that
// makes their values.
func noteEvents(fs []fields.Field) {
	of := func(k probe.Kind) *Event { return &Event{Rec: &probe.Record{Kind: k}} }
	hasDescriptor := eventsWith(func(k probe.Kind) bool { return of(k).descriptor().used })
	hasPath := eventsWith(func(k probe.Kind) bool { return of(k).pathRoles() != pathRoles{} })
	carries, moves := eventsWith(carriesData), eventsWith(transfers)
	for i := range fs {
		f := &fs[i]
		switch {
		case f.Events != nil:
		case strings.HasPrefix(f.Name, "fd.") && f.Name != "fd.types":
			f.Events = hasDescriptor
		case strings.HasPrefix(f.Name, "fs.path."):
			f.Events = hasPath
		case f.Name == "evt.buffer":
			f.Events = carries
		case f.Name == "evt.buflen", strings.HasPrefix(f.Name, "evt.buflen."):
			f.Events = moves
		}
	}
}
