package program

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"slices"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/match"
)

// test is what a leaf does with one value.
type test uint8

const (
	present test = iota
	textIn
	textPrefix
	textSuffix
	textContains
	textContainsFold
	textGlob
	textRegex
	textPath
	textOrder
	numberIn
	unsignedOrder
	signedOrder
	addrIn
	netIn
	hostIn
	// several counts how many of subs hold, by mode.
	several
	// compare compares with another slot.
	compare
)

// scope says how a leaf treats a value that is a list.
type scope uint8

const (
	// single: values are not lists.
	single scope = iota
	// someElement: true when the test holds for an element.
	someElement
	// everyElement: true when the test holds for all of at least one element.
	everyElement
)

// leaf is one comparison. It is false for a null value, whatever it tests.
type leaf struct {
	slot  int32
	other int32
	test  test
	scope scope
	op    filter.Op
	mode  filter.Modifier
	// negate turns the test's result around (!=); the negation of "some element equals" is
	// "every element differs", unless anyDiffers is set.
	negate, anyDiffers bool

	texts   []string
	numbers []uint64
	addrs   []netip.Addr
	nets    []netip.Prefix
	subs    []leaf

	words    *match.Words
	prefixes *match.Prefixes
	suffixes *match.Suffixes
	globs    []*match.Glob
	regex    *regexp.Regexp
	paths    *match.Paths
	netSet   *netSet
	addrSet  map[netip.Addr]struct{}
	numSet   map[uint64]struct{}
	hosts    []func(netip.Addr) bool

	// types, for evt.type, is the set of event types for which the leaf is true when exact
	// is set, and may be true otherwise.
	types []uint64
	exact bool
}

// key identifies equal comparisons.
func (l *leaf) key() string {
	k := []byte{'k', byte(l.test), byte(l.scope), byte(l.op), byte(l.mode), flag(l.negate), flag(l.anyDiffers), flag(l.exact)}
	k = binary.LittleEndian.AppendUint32(k, uint32(l.slot))
	k = binary.LittleEndian.AppendUint32(k, uint32(l.other))
	for _, s := range l.texts {
		k = append(binary.AppendUvarint(k, uint64(len(s))), s...)
	}
	for _, n := range l.numbers {
		k = binary.LittleEndian.AppendUint64(k, n)
	}
	for _, a := range l.addrs {
		k = append(k, a.String()...)
		k = append(k, ',')
	}
	for _, n := range l.nets {
		k = append(k, n.String()...)
		k = append(k, ',')
	}
	for i := range l.subs {
		s := l.subs[i].key()
		k = append(binary.AppendUvarint(k, uint64(len(s))), s...)
	}
	return string(k)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// prepare builds the matchers from the literals.
func (l *leaf) prepare() {
	switch l.test {
	case textIn:
		l.words = match.NewWords(l.texts)
	case textPrefix:
		l.prefixes = match.NewPrefixes(l.texts)
	case textSuffix:
		l.suffixes = match.NewSuffixes(l.texts)
	case textPath:
		l.paths = match.NewPaths(l.texts)
	case textGlob:
		for _, p := range l.texts {
			l.globs = append(l.globs, match.NewGlob(p, l.op == filter.IGlob))
		}
	case textContainsFold:
		for i, s := range l.texts {
			l.texts[i] = match.Lower(s)
		}
	case numberIn:
		l.numSet = makeSet(l.numbers)
	case addrIn:
		l.addrSet = makeSet(l.addrs)
	case netIn:
		l.netSet = newNetSet(l.nets)
	}
	for i := range l.subs {
		l.subs[i].prepare()
	}
}

// fewValues is how many values are compared one by one instead of hashed.
const fewValues = 4

func makeSet[T comparable](values []T) map[T]struct{} {
	if len(values) <= fewValues {
		return nil
	}
	set := make(map[T]struct{}, len(values))
	for _, v := range values {
		set[v] = struct{}{}
	}
	return set
}

func contains[T comparable](few []T, all map[T]struct{}, v T) bool {
	if all == nil {
		return slices.Contains(few, v)
	}
	_, ok := all[v]
	return ok
}

// mergeable says whether the disjunction of two such leaves is one with the literals of
// both.
func (l *leaf) mergeable() bool {
	if l.types != nil {
		return false
	}
	switch l.test {
	case textIn, textPrefix, textSuffix, textContains, textContainsFold, textPath, numberIn, addrIn, netIn:
		return l.scope != everyElement && !l.anyDiffers
	case textGlob:
		return l.scope != everyElement && !l.anyDiffers
	}
	return false
}

// merge adds the literals of x.
func (l *leaf) merge(x *leaf) {
	l.texts = append(l.texts, x.texts...)
	l.numbers = append(l.numbers, x.numbers...)
	l.addrs = append(l.addrs, x.addrs...)
	l.nets = append(l.nets, x.nets...)
}

// cost guesses the time that a leaf takes, in nanoseconds.
func (l *leaf) cost(slots []slot) float32 {
	var c float32
	switch l.test {
	case present, numberIn, unsignedOrder, signedOrder:
		c = 2
	case textIn, textPrefix, textSuffix, textOrder, addrIn, compare:
		c = 6
	case netIn, textPath, hostIn:
		c = 20
	case textContains:
		c = 20 * float32(min(len(l.texts), 1000))
	case textContainsFold, textGlob:
		c = 40 * float32(min(len(l.texts), 1000))
	case textRegex:
		c = 500
	case several:
		for i := range l.subs {
			c += l.subs[i].cost(slots)
		}
	}
	s := &slots[l.slot]
	switch {
	case l.scope != single && !s.arg.Given:
		c = 40 + 6*c
	case s.call != nil:
		c += 200
	default:
		c += 10
	}
	return c
}

// likely guesses the chance that the leaf is true: the more is asked of a value, the less.
func (l *leaf) likely() float32 {
	p := float32(0.1)
	switch l.test {
	case present:
		return 0.9
	case numberIn, unsignedOrder, signedOrder:
		p = 0.3
	case textIn:
		p = min(0.02*float32(len(l.texts)+1), 0.3)
	case textOrder, netIn, textContains, textContainsFold:
		p = 0.15
	}
	if l.negate {
		p = 0.95 - p
	}
	return p
}

// addLeaf returns the node of l.
func (b *Builder) addLeaf(l leaf) Ref {
	key := l.key()
	i, ok := b.leafIndex[key]
	if !ok {
		l.prepare()
		i = int32(len(b.leaves))
		b.leaves = append(b.leaves, l)
		b.leafIndex[key] = i
	}
	return b.leafNode(i)
}

// netSet is a set of networks. Lookup takes a step for each distinct prefix length.
type netSet struct {
	few  []netip.Prefix
	bits []int
	all  map[netip.Prefix]struct{}
}

func newNetSet(nets []netip.Prefix) *netSet {
	s := &netSet{few: nets, all: makeSet(nets)}
	for _, n := range nets {
		if !slices.Contains(s.bits, n.Bits()) {
			s.bits = append(s.bits, n.Bits())
		}
	}
	return s
}

func (s *netSet) match(a netip.Addr) bool {
	if s.all == nil {
		for _, n := range s.few {
			if n.Contains(a) {
				return true
			}
		}
		return false
	}
	for _, bits := range s.bits {
		if n, err := a.Prefix(bits); err == nil {
			if _, ok := s.all[n]; ok {
				return true
			}
		}
	}
	return false
}

// elementScope is how comparisons treat a slot's values unless the operator says otherwise.
func elementScope(s *slot) scope {
	if s.field != nil && s.field.AnyOf {
		return someElement
	}
	return single
}

// anyDiffers is true for != on a field whose alternatives need not all differ.
func anyDiffers(s *slot) bool { return s.field != nil && s.field.NotEqualAny }

func isNumber(t fields.Type) bool {
	switch t {
	case fields.Int, fields.Uint, fields.Time, fields.Duration, fields.Port:
		return true
	}
	return false
}
