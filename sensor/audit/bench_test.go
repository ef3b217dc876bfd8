package audit_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/audit"
)

// BenchmarkEvent is what an audit event costs from its text to the rules' answer.
func BenchmarkEvent(b *testing.B) {
	all := recorded(b)
	var lines []string
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for line := range strings.Lines(string(all[name])) {
			lines = append(lines, strings.TrimSpace(line))
			bytes += len(line)
		}
	}
	set, _ := loadRules(b, ours())
	evaluator := set.NewEvaluator(audit.SourceName)
	for name, work := range map[string]func(e *audit.Event, line string){
		"read":  func(*audit.Event, string) {},
		"judge": func(e *audit.Event, _ string) { evaluator.Evaluate(e) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(bytes / len(lines)))
			var e audit.Event
			for i := 0; b.Loop(); i++ {
				line := lines[i%len(lines)]
				if err := e.Read(line); err != nil {
					b.Fatal(err)
				}
				work(&e, line)
			}
		})
	}
}

// BenchmarkSplit is what taking a posted list costs.
func BenchmarkSplit(b *testing.B) {
	var items []string
	for _, text := range recorded(b) {
		for line := range strings.Lines(string(text)) {
			items = append(items, strings.TrimSpace(line))
		}
	}
	body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if events, err := audit.Split(body); err != nil || len(events) != len(items) {
			b.Fatal(len(events), err)
		}
	}
}
