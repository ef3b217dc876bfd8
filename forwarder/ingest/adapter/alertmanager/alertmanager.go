// Package alertmanager reads the webhook of Prometheus' Alertmanager, version 4 of its
// form: each alert of a notification becomes an event.
//
// The priority comes from the alert's label "severity" (or "priority"), Warning where there
// is none that is known. A resolved alert is an Informational event of the same rule with
// the tag "resolved": it is told, and wakes nobody. Alertmanager sends a group's alerts
// again whenever the group changes: the event's UUID is made of the alert's fingerprint,
// state and start, so that those are recognised.
package alertmanager

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// Source is the events' source.
const Source = "alertmanager"

const statusResolved = "resolved"

// notification is the body of the webhook.
type notification struct {
	Version     string          `json:"version"`
	GroupKey    string          `json:"groupKey"`
	Truncated   json.Number     `json:"truncatedAlerts"`
	Receiver    string          `json:"receiver"`
	ExternalURL string          `json:"externalURL"`
	Alerts      json.RawMessage `json:"alerts"`
}

type alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Decode implements adapter.Decode.
func Decode(m adapter.Message) ([]event.Event, error) {
	var n notification
	if err := adapter.Unmarshal(m.Body, &n); err != nil {
		return nil, err
	}
	if n.Version != "" && n.Version != "4" {
		return nil, fmt.Errorf(`member "version": must be "4", not %q`, n.Version)
	}
	if !bytes.HasPrefix(n.Alerts, []byte("[")) {
		return nil, errors.New(`member "alerts": must be an array`)
	}
	alerts, err := adapter.Split(n.Alerts, m.MaxEvents)
	if err != nil {
		return nil, fmt.Errorf(`member "alerts": %w`, err)
	}
	if len(alerts) == 0 {
		return nil, errors.New(`member "alerts": there must be at least one alert`)
	}
	return adapter.Each(alerts, "alert", func(raw json.RawMessage) (event.Event, error) { return n.event(raw, m.Now) })
}

func (n *notification) event(raw json.RawMessage, now time.Time) (event.Event, error) {
	var a alert
	if err := adapter.Unmarshal(raw, &a); err != nil {
		return event.Event{}, err
	}
	if len(a.Labels) == 0 {
		return event.Event{}, errors.New(`member "labels": is required`)
	}
	member, text := "startsAt", a.StartsAt
	if a.Status == statusResolved {
		member, text = "endsAt", a.EndsAt
	}
	at, err := adapter.Time(member, text, now)
	if err != nil {
		return event.Event{}, err
	}
	if at.Year() < 2000 { // Alertmanager writes times that are not set as year 1.
		at = now
	}
	e := event.Event{
		Output: a.text(), Priority: a.priority(), Rule: cmp.Or(a.Labels["alertname"], "Alertmanager alert"),
		Time: at, Source: Source, Hostname: a.host(),
	}
	if a.Fingerprint != "" && a.StartsAt != "" {
		e.UUID = adapter.ID(Source, a.Fingerprint, a.Status, a.StartsAt)
	}
	if a.Status == statusResolved {
		e.Tags = []string{statusResolved}
	}
	e.Fields, err = n.fields(&a)
	return e, err
}

func (a *alert) priority() event.Priority {
	if a.Status == statusResolved {
		return event.Informational
	}
	for _, label := range []string{"severity", "priority"} {
		if p, ok := adapter.Severity(a.Labels[label]); ok {
			return p
		}
	}
	return event.Warning
}

// host returns the machine that the alert is about, without a port.
func (a *alert) host() string {
	name := cmp.Or(a.Labels["node"], a.Labels["hostname"], a.Labels["host"], a.Labels["nodename"], a.Labels["instance"])
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return name
}

func (a *alert) text() string {
	var l adapter.Line
	if a.Status == statusResolved {
		l.Say("Resolved:")
	}
	l.Say(cmp.Or(a.Annotations["summary"], a.Annotations["message"], a.Annotations["description"], a.Labels["alertname"], "Alertmanager alert"))
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		l.Fact(name, a.Labels[name])
	}
	return l.String()
}

func (n *notification) fields(a *alert) ([]event.Field, error) {
	var f adapter.Fields
	f.Text("alertmanager.status", a.Status)
	f.Text("alertmanager.receiver", n.Receiver)
	f.Text("alertmanager.group_key", n.GroupKey)
	f.Text("alertmanager.external_url", n.ExternalURL)
	f.Text("alertmanager.generator_url", a.GeneratorURL)
	f.Text("alertmanager.fingerprint", a.Fingerprint)
	f.Text("alertmanager.starts_at", a.StartsAt)
	if a.Status == statusResolved {
		f.Text("alertmanager.ends_at", a.EndsAt)
	}
	if n.Truncated != "" && n.Truncated != "0" {
		f.Raw("alertmanager.truncated_alerts", json.RawMessage(n.Truncated))
	}
	for name, value := range a.Labels {
		f.Text("alertmanager.label."+name, value)
	}
	for name, value := range a.Annotations {
		f.Text("alertmanager.annotation."+name, value)
	}
	f.Text("k8s.ns.name", a.Labels["namespace"])
	f.Text("k8s.pod.name", a.Labels["pod"])
	f.Text("container.name", a.Labels["container"])
	return f.Sorted()
}
