package interest

import (
	"math/rand/v2"
	"testing"

	"github.com/saker-security/saker/sensor/probe"
)

// Sets of paths may only ever become larger than they ought to be.
func TestSetsOfPathsLoseNoPath(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	word := func() string {
		s := ""
		for range 1 + rng.IntN(3) {
			s += "/" + []string{"a", "ab", "b", "ba"}[rng.IntN(4)]
		}
		return s
	}
	set := func() *probe.Paths {
		var p probe.Paths
		for range 1 + rng.IntN(3) {
			s := word()
			for _, list := range []*[]string{&p.Equal, &p.Prefixes, &p.Suffixes, &p.Parts, &p.Directories} {
				if rng.IntN(5) == 0 {
					*list = append(*list, s)
				}
			}
			if rng.IntN(5) == 0 {
				p.Names = append(p.Names, s[len(s)-1:])
			}
		}
		return &p
	}
	for range 20000 {
		x, y := set(), set()
		a, b := union(x, &probe.Paths{}), union(y, &probe.Paths{})
		both, either, within := intersect(a, b), union(a, b), subset(a, b)
		for range 20 {
			path := word()
			inX, inY := contains(x, path), contains(y, path)
			if contains(a, path) != inX {
				t.Fatalf("reduced %+v to %+v, which differ on %s", *x, *a, path)
			}
			if contains(either, path) != (inX || inY) {
				t.Fatalf("the union of %+v and %+v is wrong about %s", *a, *b, path)
			}
			if inX && inY && !contains(both, path) {
				t.Fatalf("the intersection %+v of %+v and %+v lacks %s", *both, *a, *b, path)
			}
			if within && inX && !inY {
				t.Fatalf("%+v is no subset of %+v: %s", *a, *b, path)
			}
		}
	}
}
