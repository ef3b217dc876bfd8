package syscalls

import (
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/process"
)

// Late returns an event that has nothing but a container: enough for the fields that are
// marked Late. Unlike those of Event, it stays valid, and may be made and used beside them.
func (s *Source) Late(id container.ID) *Event {
	return &Event{src: s, Proc: &process.Process{Container: id, Image: &process.Image{}}}
}
