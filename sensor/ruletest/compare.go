package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/rules"
)

// compare returns how the alerts differ from those expected, empty if they do not: lines with
// "-" before an alert that is missing, "+" before one too many, "~" before one that is
// otherwise than expected.
func compare(want []Expected, got []Alert, set *rules.Ruleset) string {
	var b strings.Builder
	for _, step := range align(want, got) {
		switch {
		case step.got < 0:
			x := want[step.want]
			fmt.Fprintf(&b, "- %s%s\n", x.Rule, whyMissing(set, x.Rule))
		case step.want < 0:
			a := got[step.got]
			fmt.Fprintf(&b, "+ %s, by event %d: %s %s\n", a.Rule, a.Event, a.Priority, a.Output)
		default:
			for _, line := range differences(want[step.want], got[step.got]) {
				fmt.Fprintf(&b, "~ %s: %s\n", want[step.want].Rule, line)
			}
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func whyMissing(set *rules.Ruleset, name string) string {
	if rule := find(set, name); rule != nil && !rule.Enabled {
		return " (the rule is off: name it below enable)"
	}
	return ""
}

// step pairs an expected alert with one that came; -1 stands for none.
type step struct{ want, got int }

// maxAligned bounds the table that align fills.
const maxAligned = 4 << 20

// align finds the longest common sequence of rules.
func align(want []Expected, got []Alert) []step {
	// What is the same at the beginning needs no table.
	var steps []step
	i, j := 0, 0
	for ; i < len(want) && j < len(got) && want[i].Rule == got[j].Rule; i, j = i+1, j+1 {
		steps = append(steps, step{i, j})
	}
	if (len(want)-i)*(len(got)-j) > maxAligned {
		for ; i < len(want); i++ {
			steps = append(steps, step{i, -1})
		}
	}
	length := lengths(want[i:], got[j:])
	for a, b := 0, 0; i+a < len(want) || j+b < len(got); {
		switch {
		case i+a == len(want):
			steps = append(steps, step{-1, j + b})
			b++
		case j+b == len(got):
			steps = append(steps, step{i + a, -1})
			a++
		case want[i+a].Rule == got[j+b].Rule:
			steps = append(steps, step{i + a, j + b})
			a, b = a+1, b+1
		case length[a+1][b] >= length[a][b+1]:
			steps = append(steps, step{i + a, -1})
			a++
		default:
			steps = append(steps, step{-1, j + b})
			b++
		}
	}
	return steps
}

// lengths are those of the longest common sequences from each place on.
func lengths(want []Expected, got []Alert) [][]int {
	table := make([][]int, len(want)+1)
	for i := range table {
		table[i] = make([]int, len(got)+1)
	}
	for i, w := range slices.Backward(want) {
		for j := len(got) - 1; j >= 0; j-- {
			if w.Rule == got[j].Rule {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}

// differences says how an alert is otherwise than expected.
func differences(want Expected, got Alert) []string {
	var lines []string
	if want.Priority != event.None && want.Priority != got.Priority {
		lines = append(lines, fmt.Sprintf("the priority is %s, not %s", got.Priority, want.Priority))
	}
	if want.HasOutput && !matches(want.Output, got.Output) {
		lines = append(lines, fmt.Sprintf("the output is\n    %q, not\n    %q", got.Output, want.Output))
	}
	for _, f := range want.Fields {
		alert := event.Event{Fields: got.Fields}
		v, ok := alert.Field(f.Name)
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("there is no output field %s", f.Name))
		case f.Null && v.Kind() != event.Null:
			lines = append(lines, fmt.Sprintf("the field %s is %q, not null", f.Name, v.Text()))
		case !f.Null && v.Kind() == event.Null:
			lines = append(lines, fmt.Sprintf("the field %s is null, not %q", f.Name, f.Pattern))
		case !f.Null && !matches(f.Pattern, v.Text()):
			lines = append(lines, fmt.Sprintf("the field %s is %q, not %q", f.Name, v.Text(), f.Pattern))
		}
	}
	return lines
}

// matches says that text is pattern, in which * stands for anything.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) || len(text) < len(first)+len(last) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = after
	}
	return true
}
