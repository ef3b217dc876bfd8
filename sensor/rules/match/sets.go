package match

import (
	"slices"
	"strings"
)

// Words is a set of texts, tested for membership.
type Words struct {
	few []string
	all map[string]struct{}
	// lengths and firsts let most misses end before a hash is computed: which lengths
	// (63 stands for all above) and which first bytes occur.
	lengths uint64
	firsts  [4]uint64
}

// fewWords is how many are compared one by one instead of hashed.
const fewWords = 3

// NewWords returns the set of words.
func NewWords(words []string) *Words {
	s := &Words{}
	for _, w := range words {
		s.lengths |= 1 << min(len(w), 63)
		if w != "" {
			s.firsts[w[0]>>6] |= 1 << (w[0] & 63)
		}
	}
	if len(words) <= fewWords {
		s.few = words
		return s
	}
	s.all = make(map[string]struct{}, len(words))
	for _, w := range words {
		s.all[w] = struct{}{}
	}
	return s
}

// Match says whether text is in the set.
func (s *Words) Match(text string) bool {
	if s.lengths>>min(len(text), 63)&1 == 0 {
		return false
	}
	if text != "" && s.firsts[text[0]>>6]>>(text[0]&63)&1 == 0 {
		return false
	}
	if s.all == nil {
		return slices.Contains(s.few, text)
	}
	_, ok := s.all[text]
	return ok
}

// Prefixes is a set of texts of which one must begin the tested text. Testing takes time
// in the logarithm of the set's size.
type Prefixes struct {
	// sorted holds no text that begins with another one: so the last that is not greater
	// than a text is the only one that can begin it.
	sorted []string
	firsts [4]uint64
	any    bool
}

// NewPrefixes returns the set of prefixes.
func NewPrefixes(prefixes []string) *Prefixes {
	sorted := slices.Sorted(slices.Values(prefixes))
	p := &Prefixes{}
	for _, s := range sorted {
		if s == "" {
			p.any = true
			continue
		}
		if n := len(p.sorted); n > 0 && strings.HasPrefix(s, p.sorted[n-1]) {
			continue
		}
		p.sorted = append(p.sorted, s)
		p.firsts[s[0]>>6] |= 1 << (s[0] & 63)
	}
	return p
}

// Match says whether a text of the set begins text.
func (p *Prefixes) Match(text string) bool {
	if p.any {
		return true
	}
	if text == "" || p.firsts[text[0]>>6]>>(text[0]&63)&1 == 0 {
		return false
	}
	lo, hi := 0, len(p.sorted)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if p.sorted[mid] <= text {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && strings.HasPrefix(text, p.sorted[lo-1])
}

// Suffixes is a set of texts of which one must end the tested text.
type Suffixes struct {
	byLast map[byte][]string
	any    bool
}

// NewSuffixes returns the set of suffixes.
func NewSuffixes(suffixes []string) *Suffixes {
	s := &Suffixes{byLast: make(map[byte][]string)}
	for _, x := range suffixes {
		if x == "" {
			s.any = true
			continue
		}
		last := x[len(x)-1]
		s.byLast[last] = append(s.byLast[last], x)
	}
	return s
}

// Match says whether a text of the set ends text.
func (s *Suffixes) Match(text string) bool {
	if s.any {
		return true
	}
	if text == "" {
		return false
	}
	for _, x := range s.byLast[text[len(text)-1]] {
		if strings.HasSuffix(text, x) {
			return true
		}
	}
	return false
}

// ContainsFold says whether s contains sub when the case of ASCII letters is ignored.
// sub must be in lower case.
func ContainsFold(s, sub string) bool {
	if sub == "" {
		return true
	}
	lo, up := sub[0], upper(sub[0])
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i] != lo && s[i] != up {
			continue
		}
		j := 1
		for j < len(sub) && lower(s[i+j]) == sub[j] {
			j++
		}
		if j == len(sub) {
			return true
		}
	}
	return false
}

// Lower returns s with ASCII letters in lower case; other bytes stay as they are.
func Lower(s string) string { return mapBytes(s, lower) }

// Upper returns s with ASCII letters in upper case; other bytes stay as they are.
func Upper(s string) string { return mapBytes(s, upper) }

func mapBytes(s string, f func(byte) byte) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = f(c)
	}
	return string(b)
}
