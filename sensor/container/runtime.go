package container

import "errors"

// What a runtime's client answers beside what it was asked for.
var (
	// ErrUnknown: the runtime has no such container.
	ErrUnknown = errors.New("the runtime does not know the container")
	// ErrNoEvents: the runtime does not tell what happens to its containers.
	ErrNoEvents = errors.New("the runtime does not report events")
)

// Change says that a runtime has made or removed a container.
type Change struct {
	// ID is the container's whole id.
	ID      string
	Removed bool
}
