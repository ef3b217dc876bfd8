package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// reference is an event as a plain struct, the way Falcosidekick reads and writes it.
type reference struct {
	UUID     any            `json:"uuid,omitempty"`
	Output   string         `json:"output"`
	Priority string         `json:"priority"`
	Rule     string         `json:"rule"`
	Time     time.Time      `json:"time"`
	Fields   map[string]any `json:"output_fields"`
	Source   string         `json:"source"`
	Tags     freshStrings   `json:"tags,omitempty"`
	Hostname string         `json:"hostname,omitempty"`
}

// decodeReference reads exactly one event and keeps the text of numbers.
func decodeReference(data []byte) (reference, error) {
	var r reference
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&r); err != nil {
		return r, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("something follows the event")
	}
	return r, nil
}

// freshStrings is a []string that takes nothing over from an earlier member of its name,
// as encoding/json does for null elements.
type freshStrings []string

func (l *freshStrings) UnmarshalJSON(data []byte) error {
	var fresh []string
	err := json.Unmarshal(data, &fresh)
	*l = fresh
	return err
}
