package probe

import (
	"slices"
	"testing"
)

func TestTheMemoryOfMapsIsCounted(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{RingSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stats, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	var without uint64
	for _, m := range stats.Maps {
		if _, ok := spec.Maps[m.Name]; !ok {
			t.Errorf("map %q is not the probe's", m.Name)
		}
		if m.Bytes == 0 {
			t.Errorf("map %q takes no memory", m.Name)
		}
		if m.Name != bpfMapRing {
			without += m.Bytes
			continue
		}
		check(t, "the ring takes at least its size", m.Bytes >= 1<<20, true)
	}
	for name := range spec.Maps {
		// Those of global variables are a page or less.
		if name[0] != '.' && !slices.ContainsFunc(stats.Maps, func(m MapMemory) bool { return m.Name == name }) {
			t.Errorf("map %q is not counted", name)
		}
	}
	if without > 4<<20 {
		t.Errorf("the maps besides the ring take %d bytes", without)
	}
}

func TestAnInterestWithMorePathsThanFitStillReports(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	large := Paths{}
	for i := range 3000 {
		large.Names = append(large.Names, string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/26/26%26)))
	}
	for _, c := range []struct {
		paths  *Paths
		judged bool
	}{{benchPaths, true}, {&large, false}, {benchPaths, true}} {
		err := p.SetInterest(Interest{Clauses: []Clause{{Kinds: []Kind{KindOpenat}, Paths: c.paths}}})
		if err != nil {
			t.Fatal(err)
		}
		stats, err := p.Stats()
		if err != nil {
			t.Fatal(err)
		}
		check(t, "paths are judged", stats.PathsJudged, c.judged)
	}
}
