package falcotext

import "github.com/saker-security/saker/event"

// The texts of an event that is shortened get no shorter than this, in bytes.
const shortestText = 64

// Shorten returns e with its texts cut, and if that does not suffice without its last
// output fields, so that its JSON has at most size bytes (size ≥ 2 KiB): for destinations
// that take no longer message, or cut it themselves and spoil it. The event itself is not
// changed.
func Shorten(e event.Event, size int) event.Event {
	fits := func(e event.Event) bool { return len(e.AppendJSON(nil)) <= size }
	if fits(e) {
		return e
	}
	for n := size / 2; n >= shortestText; n /= 2 {
		if cut := cutTexts(e, n); fits(cut) {
			return cut
		}
	}
	e = cutTexts(e, shortestText)
	for len(e.Fields) > 0 && !fits(e) {
		e.Fields = e.Fields[:len(e.Fields)/2]
	}
	if !fits(e) {
		e.Tags = nil
	}
	return e
}

// cutTexts cuts each text of e to n bytes. A field that is no text and longer becomes one.
func cutTexts(e event.Event, n int) event.Event {
	e.Output, e.Rule, e.Source, e.Hostname = CutBytes(e.Output, n), CutBytes(e.Rule, n), CutBytes(e.Source, n), CutBytes(e.Hostname, n)
	fields := make([]event.Field, len(e.Fields))
	for i, f := range e.Fields {
		if text := f.Value.Text(); len(text) > n {
			f.Value = event.StringValue(CutBytes(text, n))
		}
		f.Name = CutBytes(f.Name, n)
		fields[i] = f
	}
	e.Fields = event.SortFields(fields)
	tags := make([]string, len(e.Tags))
	for i, tag := range e.Tags {
		tags[i] = CutBytes(tag, n)
	}
	e.Tags = tags
	return e
}
