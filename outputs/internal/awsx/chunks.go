package awsx

import (
	"bytes"
	"errors"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// Limits are the most that one request may carry.
type Limits struct{ Events, Bytes int }

// Next returns where the request that begins with event from of n ends. It holds at least
// that event; size returns the bytes of one.
func (l Limits) Next(from, n int, size func(i int) int) (to int) {
	sum := size(from)
	for to = from + 1; to < n && to-from < l.Events; to++ {
		if sum += size(to); sum > l.Bytes {
			break
		}
	}
	return to
}

// InChunks delivers a batch of n events in several requests, one after the other: next says
// where the one that begins with event from ends, and send sends the events from (included)
// to to (not included). What send returns has the meaning of Send's error for those events;
// InChunks returns the error of the whole batch.
func InChunks(n int, next func(from int) (to int), send func(from, to int) error) error {
	failed := outputs.Partial{}
	var to int
	for from := 0; from < n; from = to {
		to = next(from)
		err := send(from, to)
		if err == nil {
			continue
		}
		if parts, partly := errors.AsType[outputs.Partial](err); partly {
			for i, part := range parts {
				failed[from+i] = part
			}
			continue
		}
		bad := outputs.Rejected(err)
		if from == 0 && (to == n || !bad) {
			return err // none was accepted, and the rest would fare no better
		}
		if !bad {
			to = n
		} else if to-from > 1 { // which of them is bad shows once they are a batch of their own
			err = errors.New(err.Error())
		}
		for i := from; i < to; i++ {
			failed[i] = err
		}
	}
	return failed.OrNil()
}

// InPlace returns what InChunks said of a batch that was sorted before, as an error of the
// batch as it was: places says where each event stood.
func InPlace(err error, places []int) error {
	parts, partly := errors.AsType[outputs.Partial](err)
	if !partly {
		return err
	}
	moved := outputs.Partial{}
	for i, part := range parts {
		moved[places[i]] = part
	}
	return moved
}

// Body returns the event's JSON as the text of a message. The two noncharacters that JSON
// may hold and AWS's messages may not are written as escapes.
func Body(e event.Event) string {
	text := e.AppendJSON(nil)
	text = bytes.ReplaceAll(text, []byte("\uFFFE"), []byte(`\ufffe`))
	return string(bytes.ReplaceAll(text, []byte("\uFFFF"), []byte(`\uffff`)))
}
