package rules

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The keys of a rule that override may append to and replace.
var (
	ruleAppendable  = []string{"condition", "output", "desc", "tags", "exceptions"}
	ruleReplaceable = []string{
		"condition", "output", "desc", "priority", "capture", "capture_duration", "tags",
		"exceptions", "enabled", "warn_evttypes", "skip-if-unknown-filter",
	}
)

// rule reads an item that defines a rule or changes an earlier one.
func (it item) rule() {
	if !it.named() {
		return
	}
	var add bool
	ok := it.bool("append", &add)
	if it.get("append") != nil {
		it.warn(it.get("append"), WarnDeprecatedItem, "", "append is deprecated; use override")
	}
	over, good := it.overrides(ruleAppendable, ruleReplaceable)
	switch {
	case !ok || !good:
	case add && len(over) > 0:
		it.problem(it.node, ErrValidate, "", "append and override exclude each other")
	case len(over) > 0:
		it.overrideRule(over)
	case add:
		it.appendRule()
	case it.get("condition") == nil && it.get("output") == nil && it.get("desc") == nil && it.get("priority") == nil:
		it.toggleRule()
	default:
		it.defineRule()
	}
}

func (it item) defineRule() {
	r := &rule{src: it.src, at: it.node, name: it.name, ruleFlags: ruleFlags{enabled: true, warnTypes: true}}
	var ok [7]bool
	r.cond, ok[0] = it.text("condition")
	r.output, ok[1] = it.text("output")
	r.desc, ok[2] = it.text("desc")
	r.priority, ok[3] = it.priority()
	r.source, ok[4] = it.source("syscall")
	ok[5] = it.flags(&r.ruleFlags)
	r.tags, ok[6] = it.tags()
	exceptions, good := it.exceptions(false)
	if slices.Contains(ok[:], false) || !good {
		return
	}
	r.output = trimmed(r.output)
	if old := it.col.rules.byName[it.name]; old != nil && old.source != r.source {
		it.problem(it.node, ErrValidate, "", "the rule is defined again with another source: %q instead of %q", r.source, old.source)
		return
	}
	for _, ex := range exceptions {
		if !it.completeException(ex) {
			return
		}
	}
	r.exceptions = exceptions
	it.col.defineRule(r)
}

// source reads the key source; it is "" when the key is empty.
func (it item) source(missing string) (string, bool) {
	n := it.get("source")
	if n == nil {
		return missing, true
	}
	if missing == "" && (isNull(n) || n.Value == "") {
		return "", true
	}
	if n = it.scalar(it.node, "source"); n == nil {
		return "", false
	}
	return n.Value, true
}

// flags reads those of the keys that the item has.
func (it item) flags(f *ruleFlags) bool {
	ok := it.bool("enabled", &f.enabled)
	ok = it.bool("warn_evttypes", &f.warnTypes) && ok
	ok = it.bool("skip-if-unknown-filter", &f.skipUnknown) && ok
	ok = it.bool("capture", &f.capture) && ok
	if it.get("capture_duration") == nil {
		return ok
	}
	n := it.scalar(it.node, "capture_duration")
	if n == nil {
		return false
	}
	millis, err := strconv.ParseUint(n.Value, 10, 32)
	if err != nil {
		it.problem(n, ErrYAMLValidate, "", "capture_duration must be a number of milliseconds, not %q", n.Value)
		return false
	}
	f.captureMillis = millis
	return ok
}

// tags returns the tags, sorted, each once.
func (it item) tags() ([]string, bool) {
	nodes, ok := it.strings("tags", false)
	tags := make([]string, 0, len(nodes))
	for _, n := range nodes {
		tags = append(tags, n.Value)
	}
	slices.Sort(tags)
	return slices.Compact(tags), ok
}

func trimmed(t text) text {
	const blanks = " \t\r\n\v\f"
	to := len(strings.TrimRight(t.s, blanks))
	from := to - len(strings.TrimLeft(t.s[:to], blanks))
	if from == to {
		return t.instead(0, "")
	}
	return t.slice(from, to)
}

// toggleRule reads the old form of switching a rule on or off.
func (it item) toggleRule() {
	var enabled bool
	if it.scalar(it.node, "enabled") == nil || !it.bool("enabled", &enabled) {
		return
	}
	it.warn(it.get("enabled"), WarnDeprecatedItem, "", "enabled without override is deprecated; use override: {enabled: replace}")
	if r := it.earlier(""); r != nil {
		r.enabled = enabled
	}
}

// earlier returns the rule that the item changes, nil when it has reported a problem.
func (it item) earlier(source string) *rule {
	r := it.col.rules.byName[it.name]
	if r == nil {
		if !it.broken["rule "+it.name] {
			it.problem(it.node, ErrValidate, "", "there is no earlier rule of this name")
		}
		return nil
	}
	if source != "" && source != r.source {
		it.problem(it.node, ErrValidate, "", "the rule is defined with another source: %q instead of %q", source, r.source)
		return nil
	}
	return r
}

// appendRule reads the old form of appending.
func (it item) appendRule() {
	source, ok := it.source("")
	if !ok {
		return
	}
	r := it.earlier(source)
	if r == nil {
		return
	}
	if it.get("condition") == nil && isNull(it.get("exceptions")) {
		it.problem(it.node, ErrValidate, "", "an item that appends must have a condition or exceptions")
		return
	}
	it.col.number()
	if it.get("condition") != nil {
		if cond, ok := it.text("condition"); ok {
			r.cond = joined(r.cond, cond)
		}
	}
	if exceptions, ok := it.exceptions(true); ok {
		it.mergeExceptions(r, exceptions)
	}
}

// overrideRule reads an item with override: first what it appends, then what it replaces.
func (it item) overrideRule(over map[string]string) {
	ok := true
	for _, key := range ruleReplaceable {
		n := it.get(key)
		if over[key] != "" && n == nil {
			it.problem(it.node, ErrValidate, "override", "%q is to be overridden, but the item does not define it", key)
			ok = false
		}
		if over[key] == "" && n != nil {
			it.problem(n, ErrValidate, "override", "the key %q has no entry under override", key)
			ok = false
		}
	}
	source, good := it.source("")
	if !ok || !good {
		return
	}
	if over["condition"] == "" {
		source = ""
	}
	r := it.earlier(source)
	if r == nil {
		return
	}
	it.col.number()
	for _, key := range ruleAppendable {
		if over[key] == "append" {
			it.appendKey(r, key)
		}
	}
	for _, key := range ruleReplaceable {
		if over[key] == "replace" {
			it.replaceKey(r, key)
		}
	}
}

func (it item) appendKey(r *rule, key string) {
	switch key {
	case "tags":
		if tags, ok := it.tags(); ok {
			r.tags = append(slices.Clip(r.tags), tags...)
			slices.Sort(r.tags)
			r.tags = slices.Compact(r.tags)
		}
	case "exceptions":
		if exceptions, ok := it.exceptions(true); ok {
			it.mergeExceptions(r, exceptions)
		}
	default:
		if t, ok := it.text(key); ok {
			field := r.text(key)
			*field = joined(*field, t)
		}
	}
}

func (it item) replaceKey(r *rule, key string) {
	switch key {
	case "tags":
		if tags, ok := it.tags(); ok {
			r.tags = tags
		}
	case "exceptions":
		exceptions, ok := it.exceptions(false)
		for _, ex := range exceptions {
			ok = ok && it.completeException(ex)
		}
		if ok {
			r.exceptions = exceptions
		}
	case "priority":
		if p, ok := it.priority(); ok {
			r.priority = p
		}
	case "condition", "output", "desc":
		if t, ok := it.text(key); ok {
			*r.text(key) = t
		}
	default:
		// A flag is read alone, so that the item's other keys stay what they were.
		one := it
		one.node = &yaml.Node{Kind: yaml.MappingNode, Line: it.node.Line, Column: it.node.Column, Content: pair(it.node, key)}
		one.flags(&r.ruleFlags)
	}
}

func pair(n *yaml.Node, key string) []*yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i : i+2]
		}
	}
	return nil
}

func (r *rule) text(key string) *text {
	switch key {
	case "condition":
		return &r.cond
	case "output":
		return &r.output
	}
	return &r.desc
}
