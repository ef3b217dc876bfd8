package cluster

import (
	"strconv"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

// names are what the journal calls its things in NATS. All begin with journal.stream, so
// that several installations can use one cluster.
//
// An event's subject says its priority, SAKER.events.0 to SAKER.events.8, so that a
// consumer's filter can hold back what is below an output's minimum. A test event passes
// every minimum, so it has a subject that every filter includes: SAKER.events.test. What
// is meant for one output alone has a subject that only its filter includes:
// SAKER.events.only.slack.
type names struct {
	stream, dead, losses string // streams
	buckets              string // what streams of records begin with

	// What subjects begin with.
	events, only, deadLetters, lossMarks, records string

	shared    string // the filter for everything but what is meant for one output
	bySubject [subjects]string
}

func namesFor(prefix string) names {
	n := names{
		stream: prefix + "_EVENTS", dead: prefix + "_DEADLETTERS", losses: prefix + "_LOSSES",
		buckets: prefix + "_RECORDS_",
		events:  prefix + ".events.", only: prefix + ".events.only.",
		deadLetters: prefix + ".dead.", lossMarks: prefix + ".losses.", records: prefix + ".records.",
		shared: prefix + ".events.*",
	}
	for p := range testIndex {
		n.bySubject[p] = n.events + strconv.Itoa(p)
	}
	n.bySubject[testIndex] = n.events + "test"
	return n
}

// subjects is the number of subjects that events for all outputs have: one a priority, and
// the tests'.
const subjects = int(event.Emergency) + 2

// testIndex is the place of the tests' subject among the others.
const testIndex = subjects - 1

// subject returns e's subject.
func (n *names) subject(e *event.Event) string {
	if route.IsTest(e) {
		return n.bySubject[testIndex]
	}
	return n.bySubject[min(e.Priority, event.Emergency)]
}

// filters returns the subjects of what the output with the given escaped name and minimum
// priority gets.
func (n *names) filters(durable string, minimum event.Priority) []string {
	only := n.only + durable
	if minimum == event.None {
		return []string{n.shared, only}
	}
	return append([]string{only}, n.bySubject[min(minimum, event.Emergency):]...)
}
