package rules

import "strings"

// MaxCondition is how long a condition may be once lists are substituted, in bytes, and
// MaxConditions how long all of them together.
const (
	MaxCondition  = 4 << 20
	MaxConditions = 64 << 20
)

// listText is a list as it is written into conditions.
type listText struct {
	*list
	joined string
	used   bool
}

// listTexts resolves references between lists: an item that is the name of a list defined
// before this one's last change stands for that list's own items, one level deep. ok is
// false when a list grows beyond MaxCondition; it is then cut.
func (c *collector) listTexts() (out []*listText, tooLong *list) {
	byName := make(map[string]*listText, len(c.lists.order))
	for _, l := range c.lists.order {
		lt := &listText{list: l}
		out = append(out, lt)
		byName[l.name] = lt
	}
	for _, l := range out {
		var b strings.Builder
		for _, item := range l.items {
			items := []string{item}
			if ref := byName[item]; ref != nil && ref.first < l.last {
				ref.used = true
				items = ref.items
			}
			for _, s := range items {
				if b.Len()+len(s) > MaxCondition {
					return out, l.list
				}
				if b.Len() > 0 {
					b.WriteString(", ")
				}
				if s != "" && needsQuotes(s) {
					s = `"` + s + `"`
				}
				b.WriteString(s)
			}
		}
		l.joined = b.String()
	}
	return out, nil
}

func isListDelimiter(c byte) bool { return blank(c) || c == '(' || c == ')' || c == ',' || c == '=' }

// substitute replaces the names of lists in a condition by their items, list by list in the
// order of their definition, also inside quoted strings. ok is false when the text grows
// beyond MaxCondition.
func substitute(t text, lists []*listText) (out text, ok bool) {
	for _, l := range lists {
		if l.name == "" || !strings.Contains(t.s, l.name) {
			continue
		}
		if t, ok = l.replaceIn(t); !ok {
			return t, false
		}
	}
	return t, true
}

// replaceIn replaces each occurrence of the list's name that stands between delimiters. The
// blanks around it become one. Where the list is empty, a comma beside it goes too.
func (l *listText) replaceIn(t text) (text, bool) {
	var pieces []text
	done, size := 0, 0
	for from := 0; ; {
		i := strings.Index(t.s[from:], l.name)
		if i < 0 {
			break
		}
		start := from + i
		end := start + len(l.name)
		if start > 0 && !isListDelimiter(t.s[start-1]) || end < len(t.s) && !isListDelimiter(t.s[end]) {
			from = start + 1
			continue
		}
		name := start
		for start > done && blank(t.s[start-1]) {
			start--
		}
		for end < len(t.s) && blank(t.s[end]) {
			end++
		}
		before := t.slice(done, start)
		if l.joined == "" {
			if strings.HasSuffix(before.s, ",") {
				before = before.slice(0, len(before.s)-1)
			} else if end < len(t.s) && t.s[end] == ',' {
				end++
			}
		}
		sub := l.joined + " "
		if start > 0 {
			sub = " " + sub
		}
		if size += len(sub); len(t.s)+size > MaxCondition {
			return t, false
		}
		pieces = append(pieces, before, t.instead(name, sub))
		l.used = true
		done, from = end, end
	}
	if done == 0 {
		return t, true
	}
	return text{}.plus(append(pieces, t.slice(done, len(t.s)))...), true
}
