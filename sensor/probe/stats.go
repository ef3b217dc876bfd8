package probe

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
)

// KindStats counts what happened to the events of one kind since Open.
type KindStats struct {
	// Seen are those that were of interest, Filtered those of them that a filter
	// dropped, Shed those that were left out because the ring was filling up and others
	// are worth more, Lost those that did not fit into the ring.
	Seen, Filtered, Shed, Lost uint64
}

// Stats counts what the probe did since Open.
type Stats struct {
	// Kinds has the kinds that were seen at least once.
	Kinds map[Kind]KindStats
	// Shed and Lost are the sums over the kinds.
	Shed, Lost uint64
	// Received are the records that Run read, Malformed those it could not decode; there
	// are none unless object and reader are of different builds.
	Received, Malformed uint64
	// Missed are events at which the kernel left a program out because it was already
	// running on that CPU; 0 where the kernel does not count them (before 5.12).
	Missed uint64
	// Unwatched are system calls by programs of an architecture that the probe does not
	// know, as far as they were noticed: x32 programs, and 32-bit ones on arm64.
	Unwatched uint64
	// PathsJudged says that the kernel drops opens by their paths: false if the paths of
	// an interest were more than there was room for, which costs only time.
	PathsJudged bool
	// Maps are the probe's maps, by name.
	Maps []MapMemory
}

// MapMemory is what a map takes of the kernel's memory.
type MapMemory struct {
	Name string
	// Bytes is the kernel's own figure, an estimate for some maps.
	Bytes uint64
}

// Stats returns the counters.
func (p *Probe) Stats() (Stats, error) {
	s := Stats{
		Kinds:     make(map[Kind]KindStats),
		Received:  p.received.Load(),
		Malformed: p.malformed.Load(),

		PathsJudged: p.pathsJudged.Load(),
	}
	var cpus []bpfCounters
	for k := range kindCount {
		if err := p.objects.Counts.Lookup(uint32(k), &cpus); err != nil {
			return s, fmt.Errorf("read probe's counters: %w", err)
		}
		var sum KindStats
		for _, c := range cpus {
			sum.Seen += c.Seen
			sum.Filtered += c.Filtered
			sum.Shed += c.Shed
			sum.Lost += c.Lost
		}
		if k == KindUnknown {
			s.Unwatched = sum.Lost
			continue
		}
		s.Shed += sum.Shed
		s.Lost += sum.Lost
		if sum.Seen > 0 {
			s.Kinds[k] = sum
		}
	}
	for _, program := range p.programs() {
		stats, err := program.Stats()
		if err != nil {
			return s, fmt.Errorf("read statistics of %s: %w", program, err)
		}
		s.Missed += stats.RecursionMisses
	}
	var err error
	s.Maps, err = p.memory()
	return s, err
}

// memory asks the kernel for the size of the maps.
func (p *Probe) memory() ([]MapMemory, error) {
	m := &p.objects.bpfMaps
	var sizes []MapMemory
	for name, loaded := range map[string]*ebpf.Map{
		bpfMapAutomata: m.Automata, bpfMapCounts: m.Counts, bpfMapExited: m.Exited,
		bpfMapGroups: m.Groups, bpfMapInterests: m.Interests, bpfMapRing: m.Ring,
		bpfMapScratches: m.Scratches, bpfMapVerdicts: m.Verdicts,
	} {
		info, err := loaded.Info()
		if err != nil {
			return nil, fmt.Errorf("ask for the size of the probe's map %q: %w", name, err)
		}
		bytes, _ := info.Memlock()
		sizes = append(sizes, MapMemory{Name: name, Bytes: bytes})
	}
	slices.SortFunc(sizes, func(a, b MapMemory) int { return cmp.Compare(a.Name, b.Name) })
	return sizes, nil
}
