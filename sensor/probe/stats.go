package probe

import "fmt"

// KindStats counts what happened to the events of one kind since Open.
type KindStats struct {
	// Seen are those that were of interest, Filtered those of them that a filter
	// dropped, Lost those that did not fit into the ring.
	Seen, Filtered, Lost uint64
}

// Stats counts what the probe did since Open.
type Stats struct {
	// Kinds has the kinds that were seen at least once.
	Kinds map[Kind]KindStats
	// Lost is the sum over the kinds.
	Lost uint64
	// Received are the records that Run read, Malformed those it could not decode; there
	// are none unless object and reader are of different builds.
	Received, Malformed uint64
	// Missed are events at which the kernel left a program out because it was already
	// running on that CPU; 0 where the kernel does not count them (before 5.12).
	Missed uint64
	// Unwatched are system calls by programs of an architecture that the probe does not
	// know, as far as they were noticed: x32 programs, and 32-bit ones on arm64.
	Unwatched uint64
}

// Stats returns the counters.
func (p *Probe) Stats() (Stats, error) {
	s := Stats{
		Kinds:     make(map[Kind]KindStats),
		Received:  p.received.Load(),
		Malformed: p.malformed.Load(),
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
			sum.Lost += c.Lost
		}
		if k == KindUnknown {
			s.Unwatched = sum.Lost
			continue
		}
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
	return s, nil
}
