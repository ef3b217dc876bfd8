package spyderbat

import (
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
)

// alert is an event as Spyderbat takes it.
type alert struct {
	Schema        string   `json:"schema"`
	ID            string   `json:"id"`
	MonotonicTime int      `json:"monotonic_time"`
	OrcTime       float64  `json:"orc_time"`
	Time          float64  `json:"time"`
	PID           int32    `json:"pid"`
	Level         string   `json:"level"`
	Message       []string `json:"msg"`
	Arguments     string   `json:"args"`
	Container     string   `json:"container"`
}

// newAlert is the alert of an event that is sent now.
func newAlert(e event.Event, now time.Time) alert {
	var message []string
	// The first two words are the time and the priority, as Falco writes them.
	if words := strings.Split(e.Output, " "); len(words) > 2 {
		message = words[2:]
	}
	return alert{
		Schema:        "falco_alert::1.0.0",
		ID:            e.UUID,
		MonotonicTime: now.Nanosecond(),
		OrcTime:       float64(now.UnixNano()) / 1e9,
		Time:          float64(seconds(e)),
		PID:           int32(number(e, "proc.pid")), //nolint:gosec // a process id of Linux has at most 22 bits
		Level:         level(e.Priority),
		Message:       message,
		Arguments:     text(e, "proc.cmdline"),
		Container:     text(e, "container.id"),
	}
}

// seconds is when the event was, in whole seconds: by evt.time, which is in nanoseconds,
// and without it by the event's own time.
func seconds(e event.Event) int64 {
	if ns := number(e, "evt.time"); ns != 0 {
		return ns / 1e9
	}
	return e.Time.Unix()
}

// number is the integer that the output field called name holds, 0 if it does not hold one.
func number(e event.Event, name string) int64 {
	v, _ := e.Field(name)
	if v.Kind() != event.Number {
		return 0
	}
	n, err := strconv.ParseInt(v.Text(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// text is the output field called name, "" if it is not a string.
func text(e event.Event, name string) string {
	v, _ := e.Field(name)
	if s, ok := v.Str(); ok {
		return s
	}
	return ""
}

// level is Spyderbat's name for a priority.
func level(p event.Priority) string {
	switch p {
	case event.Emergency, event.Critical:
		return "critical"
	case event.Alert, event.Error:
		return "high"
	case event.Warning:
		return "medium"
	case event.Notice:
		return "low"
	}
	return "info"
}
