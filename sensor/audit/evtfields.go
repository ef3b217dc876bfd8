package audit

import (
	"fmt"
	"time"

	"github.com/saker-security/saker/sensor/fields"
)

// pluginName is what evt.pluginname says, and pluginEvent what evt.type says, as in Falco
// where a plugin makes these events.
const (
	pluginName  = "k8saudit"
	pluginEvent = "pluginevent"
)

// evtFields are those that events of every source have.
func evtFields() []fields.Field {
	number := func(name string, t fields.Type, doc string, f func(*Event) uint64) fields.Field {
		return fields.Field{
			Name: name, Type: t, Doc: doc,
			Extract: extract(func(e *Event) fields.Value { return fields.Unsigned(f(e)) }),
		}
	}
	stamp := func(name, doc, layout string, zone *time.Location) fields.Field {
		f := number(name, fields.Time, doc, func(e *Event) uint64 { return e.stamp })
		f.Format = func(v fields.Value) string { return time.Unix(0, int64(v.Num)).In(zone).Format(layout) }
		return f
	}
	padded := func(name string, t fields.Type, doc string, f func(*Event) uint64) fields.Field {
		field := number(name, t, doc, f)
		field.Format = func(v fields.Value) string { return fmt.Sprintf("%09d", v.Num) }
		return field
	}
	constant := func(name, doc, value string) fields.Field {
		return made(name, doc, func(*Event) fields.Value { return fields.Text(value) })
	}
	const second = uint64(time.Second)
	return []fields.Field{
		number("evt.num", fields.Uint, "Number of the audit event, counted from 1 when the sensor started.", func(e *Event) uint64 { return e.num }),
		stamp("evt.time", "Time of the audit event, printed as local time of day with nanoseconds.", "15:04:05.000000000", time.Local),
		stamp("evt.time.s", "Time of the audit event, printed as local time of day in whole seconds.", "15:04:05", time.Local),
		stamp("evt.time.iso8601", "Time of the audit event, printed in ISO 8601 with nanoseconds and time zone, in UTC.", "2006-01-02T15:04:05.000000000-0700", time.UTC),
		stamp("evt.outputtime", "Like evt.time.", "15:04:05.000000000", time.Local),
		stamp("evt.datetime", "Date and time of the audit event, printed as local time with nanoseconds.", "2006-01-02 15:04:05.000000000", time.Local),
		stamp("evt.datetime.s", "Date and time of the audit event, printed as local time in whole seconds.", "2006-01-02 15:04:05", time.Local),
		number("evt.rawtime", fields.Time, "Time of the audit event in nanoseconds since the epoch.", func(e *Event) uint64 { return e.stamp }),
		number("evt.rawtime.s", fields.Time, "Whole seconds of the time of the audit event since the epoch.", func(e *Event) uint64 { return e.stamp / second }),
		padded("evt.rawtime.ns", fields.Time, "Nanoseconds of the time of the audit event beyond the whole second.", func(e *Event) uint64 { return e.stamp % second }),
		padded("evt.reltime", fields.Duration, "Nanoseconds since the first audit event.", (*Event).sinceFirst),
		number("evt.reltime.s", fields.Duration, "Whole seconds since the first audit event.", func(e *Event) uint64 { return e.sinceFirst() / second }),
		padded("evt.reltime.ns", fields.Duration, "Nanoseconds since the first audit event beyond the whole second.", func(e *Event) uint64 { return e.sinceFirst() % second }),
		number("evt.deltatime", fields.Duration, "Nanoseconds since the previous audit event.", (*Event).sincePrevious),
		number("evt.deltatime.s", fields.Duration, "Whole seconds since the previous audit event.", func(e *Event) uint64 { return e.sincePrevious() / second }),
		padded("evt.deltatime.ns", fields.Duration, "Nanoseconds since the previous audit event beyond the whole second.", func(e *Event) uint64 { return e.sincePrevious() % second }),
		constant("evt.source", "Name of the event source: "+SourceName+".", SourceName),
		constant("evt.type", "Kind of event: "+pluginEvent+".", pluginEvent),
		constant("evt.pluginname", "Name of Falco's plugin that makes these events there: "+pluginName+".", pluginName),
		made("evt.plugininfo", "The whole audit event as JSON.", func(e *Event) fields.Value { return fields.Text(e.Text()) }),
		made("evt.hostname", "Name of the machine the sensor runs on.", func(e *Event) fields.Value {
			if e.hostname == "" {
				return fields.Value{}
			}
			return fields.Text(e.hostname)
		}),
		{
			Name: "evt.is_async", Type: fields.Bool, Doc: "Whether the event was put between others: false.",
			Extract: extract(func(*Event) fields.Value { return fields.Boolean(false) }),
		},
		made("evt.asynctype", "Name of an event that was put between others: null.", func(*Event) fields.Value { return fields.Value{} }),
	}
}

// The API server's events come in the order in which they end, so that one may be older than
// the one before it.
func (e *Event) sinceFirst() uint64    { return e.stamp - min(e.first, e.stamp) }
func (e *Event) sincePrevious() uint64 { return e.stamp - min(e.previous, e.stamp) }
