package alertmanager

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
)

// alert is a post of Alertmanager's API, version 2. A zero EndsAt is sent as such, and
// means that Alertmanager decides.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	EndsAt      time.Time         `json:"endsAt"`
}

// payload is the list of alerts that the golden files pin.
func payload(c Config, batch []event.Event, now time.Time) []alert {
	alerts := make([]alert, 0, len(batch))
	for _, e := range batch {
		alerts = append(alerts, newAlert(c, e, now))
	}
	return alerts
}

func newAlert(c Config, e event.Event, now time.Time) alert {
	labels, least := fieldLabels(c, e)
	priority := max(e.Priority, least)
	labels["source"] = "falco"
	labels["rule"] = e.Rule
	labels["alertname"] = e.Rule
	labels["eventsource"] = e.Source
	if e.Hostname != "" {
		labels["hostname"] = e.Hostname
	}
	if len(e.Tags) > 0 {
		labels["tags"] = strings.Join(e.Tags, ",")
	}
	labels["priority"] = priority.String()
	labels["severity"] = severity(c, priority)
	maps.Copy(labels, c.ExtraLabels)

	annotations := map[string]string{"info": e.Output, "description": e.Output, "summary": e.Rule}
	for _, f := range e.Fields {
		if event.IsSummaryFigure(f.Name) {
			annotations[safeName(f.Name)] = f.Value.Text()
		}
	}
	maps.Copy(annotations, c.ExtraAnnotations)
	return alert{labels, annotations, endsAt(c, e, now)}
}

// endsAt is when the alert expires. One that is delivered only after it has expired would
// never be shown, so that its time then begins with the delivery.
func endsAt(c Config, e event.Event, now time.Time) time.Time {
	if c.ExpiresAfter == 0 {
		return time.Time{}
	}
	if end := e.Time.Add(c.ExpiresAfter); end.After(now) {
		return end
	}
	return now.Add(c.ExpiresAfter)
}

// fieldLabels returns the labels made of output fields, and the least priority that the
// event has because of the drops it reports.
func fieldLabels(c Config, e event.Event) (labels map[string]string, least event.Priority) {
	labels = make(map[string]string, len(e.Fields)+8)
	for _, f := range e.Fields {
		if f.Value.Kind() != event.String && f.Value.Kind() != event.Number {
			continue
		}
		name, value := safeName(f.Name), f.Value.Text()
		switch {
		case name == "", event.IsSummaryFigure(f.Name), strings.HasPrefix(f.Name, "n_evts"):
			continue
		case strings.HasPrefix(f.Name, "n_drop"):
			drops, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				continue
			}
			var p event.Priority
			value, p = dropLabel(c, drops)
			least = max(least, p)
		}
		labels[name] = value
	}
	return labels, least
}

// dropLabel returns the label of a number of drops, and the least priority of an event
// with so many.
func dropLabel(c Config, drops int64) (string, event.Priority) {
	if drops == 0 {
		return "0", event.Warning
	}
	for _, t := range c.DropEventThresholds.list {
		if drops > t.drops {
			return ">" + strconv.FormatInt(t.drops, 10), t.priority
		}
	}
	return strconv.FormatInt(drops, 10), c.DropEventDefaultPriority
}

// safeName makes a label's name of a field's: each character that a label may not have
// becomes _, pairs of _ become one, and none is left at the ends. A name that would begin
// with a digit gets a _ in front. The result is empty when nothing is left.
func safeName(field string) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, field)
	name = strings.Trim(strings.ReplaceAll(name, "__", "_"), "_")
	if name != "" && name[0] <= '9' {
		return "_" + name
	}
	return name
}

func severity(c Config, p event.Priority) string {
	if s, ok := c.CustomSeverityMap[Level(p)]; ok {
		return s
	}
	switch {
	case p >= event.Critical:
		return "critical"
	case p >= event.Warning:
		return "warning"
	}
	return "information"
}
