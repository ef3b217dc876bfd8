package metrics

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/event"
)

// countEvent counts e under its labels. The series are kept by their labels' values, so
// that the common case is one look-up without an allocation.
func (m *Metrics) countEvent(e *event.Event) {
	var room [512]byte
	key := m.appendLabels(room[:0], e)
	m.mu.RLock()
	c, ok := m.series[string(key)]
	m.mu.RUnlock()
	if !ok {
		c = m.addSeries(string(key), e.Priority)
	}
	c.Inc()
}

// separator stands after each label's value in a key. Values never contain it.
const separator = '\xff'

// rawPriority is the place of the label priority_raw, which a key leaves out because it
// follows from the priority before it.
const rawPriority = 3

// appendLabels appends the values of e's labels, each followed by the separator.
func (m *Metrics) appendLabels(key []byte, e *event.Event) []byte {
	key = appendLabel(key, cmp.Or(e.Hostname, "unknown"))
	key = appendLabel(key, e.Rule)
	key = append(strconv.AppendUint(key, uint64(e.Priority), 10), separator)
	key = appendLabel(key, e.Source)
	key = appendField(key, e, "k8s.ns.name")
	key = appendField(key, e, "k8s.pod.name")
	for _, name := range m.fields {
		key = appendField(key, e, name)
	}
	return key
}

// appendField appends a string field's value; any other kind counts as empty.
func appendField(key []byte, e *event.Event, name string) []byte {
	v, _ := e.Field(name)
	if text, ok := v.Str(); ok {
		return appendLabel(key, text)
	}
	return appendLabel(key, "")
}

func appendLabel(key []byte, value string) []byte {
	if len(value) > maxLabelBytes {
		value = value[:maxLabelBytes]
	}
	return append(append(key, strings.ToValidUTF8(value, "")...), separator)
}

func (m *Metrics) addSeries(key string, p event.Priority) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.series[key]; ok {
		return c
	}
	if len(m.series) >= MaxSeries {
		return m.events.WithLabelValues(m.otherLabels(p)...)
	}
	values := strings.Split(strings.TrimSuffix(key, string([]byte{separator})), string([]byte{separator}))
	c := m.events.WithLabelValues(slices.Insert(values, rawPriority, strings.ToLower(p.String()))...)
	m.series[key] = c
	return c
}

// otherLabels are the labels of events beyond MaxSeries: only the priority is kept.
func (m *Metrics) otherLabels(p event.Priority) []string {
	values := make([]string, len(eventLabels)+len(m.fields))
	for i := range values {
		values[i] = other
	}
	values[rawPriority-1], values[rawPriority] = strconv.Itoa(int(p)), strings.ToLower(p.String())
	return values
}
