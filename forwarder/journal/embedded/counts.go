package embedded

import (
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

// An event's class is all that the decision needs whether an output gets it: its priority,
// or testClass. Events that are for one output alone have the class directed.
const (
	testClass = uint8(event.Emergency) + 1
	classes   = int(testClass) + 1
	directed  = testClass + 1
)

func classOf(e *event.Event) uint8 {
	if route.IsTest(e) {
		return testClass
	}
	return uint8(min(e.Priority, event.Emergency))
}

// counts are numbers of events by class. Events for one output alone are in none of them.
type counts [classes]uint64

// add counts an event of the given class.
func (c *counts) add(class uint8) {
	if class < directed {
		c[class]++
	}
}

func (c *counts) total() (n uint64) {
	for _, k := range c {
		n += k
	}
	return n
}

// raise makes each count at least that of o.
func (c *counts) raise(o *counts) {
	for i := range c {
		c[i] = max(c[i], o[i])
	}
}

// filter says which events one output gets.
type filter struct {
	output  string
	minimum event.Priority
}

// passes reports whether the output gets an event of the given class; only is the output
// that it is for, if its class is directed.
func (f *filter) passes(class uint8, only string) bool {
	if class == directed {
		return only == f.output
	}
	return class >= uint8(f.minimum) // the tests' class is above all priorities
}

// between returns how many events pass that are counted in to and not in from; 0 rather
// than less than none.
func (f *filter) between(from, to *counts) (n uint64) {
	for class := min(uint8(f.minimum), testClass); class <= testClass; class++ {
		if to[class] > from[class] {
			n += to[class] - from[class]
		}
	}
	return n
}
