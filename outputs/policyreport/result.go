package policyreport

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/kubex"
)

// source is who the results are from.
const source = "Falco"

// Limits of a result, in characters, so that a report holds more than a few.
const (
	maxMessage    = 8192
	maxProperty   = 2048
	maxRule       = 1024
	maxProperties = 200
)

// result is one event in a report. Both APIs have this form.
type result struct {
	Source     string            `json:"source"`
	Policy     string            `json:"policy"`
	Rule       string            `json:"rule,omitempty"`
	Category   string            `json:"category,omitempty"`
	Severity   string            `json:"severity,omitempty"`
	Timestamp  timestamp         `json:"timestamp"`
	Result     string            `json:"result,omitempty"`
	Resources  []kubex.Ref       `json:"resources,omitempty"`
	Message    string            `json:"message,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
}

type timestamp struct {
	Seconds int64 `json:"seconds"`
	Nanos   int32 `json:"nanos"`
}

// newResult is the result that the golden files pin.
func newResult(e event.Event) result {
	r := result{
		Source:     source,
		Policy:     e.Source,
		Rule:       falcotext.Cut(e.Rule, maxRule),
		Category:   "SI - System and Information Integrity",
		Severity:   severity(e.Priority),
		Timestamp:  timestamp{e.Time.Unix(), int32(e.Time.Nanosecond())}, //nolint:gosec // less than 1e9
		Result:     outcome(e.Priority),
		Message:    falcotext.Cut(e.Output, maxMessage),
		Properties: make(map[string]string, min(len(e.Fields), maxProperties)),
	}
	for _, f := range e.Fields[:min(len(e.Fields), maxProperties)] {
		text := "<nil>" // as Falcosidekick has it
		if f.Value.Kind() != event.Null {
			text = falcotext.Cut(f.Value.Text(), maxProperty)
		}
		r.Properties[falcotext.Cut(f.Name, maxProperty)] = text
	}
	if ref, ok := kubex.Subject(e); ok {
		ref.UID, ref.Namespace = "", kubex.NamespaceOf(e)
		r.Resources = []kubex.Ref{ref}
	}
	return r
}

// severities are those of a result, the least first.
var severities = []string{"info", "low", "medium", "high", "critical"}

func severity(p event.Priority) string {
	switch {
	case p <= event.Informational:
		return "info"
	case p == event.Notice:
		return "low"
	case p == event.Warning:
		return "medium"
	case p == event.Error:
		return "high"
	}
	return "critical"
}

func outcome(p event.Priority) string {
	switch {
	case p <= event.Notice:
		return "skip"
	case p == event.Warning:
		return "warn"
	}
	return "fail"
}

// entry is a result in a report, with what is asked of it.
type entry struct {
	raw      json.RawMessage
	severity int
	outcome  string
}

// add appends to r what it does not have yet, drops what is beyond count results or size
// bytes, and counts anew. It reports whether anything has changed.
func (r *report) add(added []result, count, size int, byPriority bool) (bool, error) {
	all := make([]entry, 0, len(r.Results)+len(added))
	known := make(map[string]bool, len(r.Results))
	total := 0
	for _, raw := range r.Results {
		var old result
		if err := json.Unmarshal(raw, &old); err != nil {
			return false, fmt.Errorf("read a result of the report: %w", err)
		}
		key, err := json.Marshal(old)
		if err != nil {
			return false, fmt.Errorf("read a result of the report: %w", err)
		}
		known[string(key)] = true
		all = append(all, newEntry(raw, old))
		total += len(raw)
	}
	had := len(all)
	for _, one := range added {
		raw, err := json.Marshal(one)
		if err != nil {
			return false, fmt.Errorf("encode result: %w", err)
		}
		if known[string(raw)] {
			continue
		}
		known[string(raw)] = true
		all = append(all, newEntry(raw, one))
		total += len(raw)
	}
	if len(all) == had {
		return false, nil
	}
	r.set(prune(all, count, size-total, byPriority))
	return true, nil
}

func newEntry(raw json.RawMessage, r result) entry {
	return entry{raw, slices.Index(severities, r.Severity), r.Result}
}

// prune drops entries until there are at most count, and until room, the bytes that are
// left, is not negative. One entry always stays.
func prune(all []entry, count, room int, byPriority bool) []entry {
	for len(all) > 1 && (len(all) > count || room < 0) {
		drop := 0
		if byPriority {
			for i, e := range all {
				if e.severity < all[drop].severity {
					drop = i
				}
			}
		}
		room += len(all[drop].raw)
		all = slices.Delete(all, drop, drop+1)
	}
	return all
}

// set makes entries the report's results.
func (r *report) set(entries []entry) {
	r.Results, r.Summary = make([]json.RawMessage, len(entries)), summary{}
	for i, e := range entries {
		r.Results[i] = e.raw
		switch e.outcome {
		case "pass":
			r.Summary.Pass++
		case "fail":
			r.Summary.Fail++
		case "warn":
			r.Summary.Warn++
		case "error":
			r.Summary.Error++
		case "skip":
			r.Summary.Skip++
		}
	}
}
