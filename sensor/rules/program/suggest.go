package program

import (
	"fmt"
	"iter"
)

// Shorter names are like too many others, longer ones too much work to compare.
const (
	minSuggestName = 3
	maxSuggestName = 64
)

// DidYouMean returns ` (did you mean "x"?)` for the name most like name, "" when none is
// like it.
func DidYouMean(name string, names iter.Seq[string]) string {
	if len(name) < minSuggestName || len(name) > maxSuggestName {
		return ""
	}
	best, bestDistance := "", max(1, len(name)/4)+1
	for n := range names {
		if d := distance(name, n, bestDistance); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is how many letters must be added, dropped, replaced or swapped with their
// neighbour to make b of a; limit if it is not less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var rows [3][2*maxSuggestName + 1]int
	if len(b) > 2*maxSuggestName {
		return limit
	}
	before, prev, cur := rows[0][:], rows[1][:], rows[2][:]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit)
}
