package elasticsearch

import (
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
)

// document is an event on its way to the cluster.
type document struct {
	place int // in the batch
	id    string
	event event.Event // as it is written, fields flattened
	// trimmed says that fields the cluster could not take have been removed.
	trimmed bool
}

func newDocument(c Config, place int, e event.Event) document {
	if c.FlattenFields || c.CreateIndexTemplate {
		e.Fields = flatten(e.Fields)
	}
	return document{place: place, id: e.UUID, event: e}
}

// flatten returns fields with _ for each dot of their names. Of two that then have the
// same name the one that came later in order counts.
func flatten(fields []event.Field) []event.Field {
	flat := slices.Clone(fields)
	for i := range flat {
		flat[i].Name = strings.ReplaceAll(flat[i].Name, ".", "_")
	}
	return event.SortFields(flat)
}

// without returns the document without the output field called name, the fields below it
// (name.x) and those above it; false if there is none.
func (d document) without(name string) (document, bool) {
	kept := make([]event.Field, 0, len(d.event.Fields))
	for _, f := range d.event.Fields {
		if f.Name != name && !strings.HasPrefix(f.Name, name+".") && !strings.HasPrefix(name, f.Name+".") {
			kept = append(kept, f)
		}
	}
	found := len(kept) < len(d.event.Fields)
	d.event.Fields, d.trimmed = kept, true
	return d, found
}

// payload is what the golden files pin: the event's JSON with @timestamp as last member.
func payload(dst []byte, e event.Event) []byte {
	dst = e.AppendJSON(dst)
	dst = append(dst[:len(dst)-1], `,"@timestamp":"`...)
	dst = e.Time.AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}

// indexAt is the index that a document sent now goes to.
func indexAt(c Config, now time.Time) string {
	if c.DataStream {
		return c.Index
	}
	switch c.Suffix {
	case "none":
		return c.Index
	case "monthly":
		return c.Index + now.Format("-2006.01")
	case "annually":
		return c.Index + now.Format("-2006")
	}
	return c.Index + now.Format("-2006.01.02")
}
