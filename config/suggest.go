package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggest returns " (did you mean x?)" for the candidate nearest to word, "" if none is
// near.
func suggest(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

// nearest returns the candidate with the smallest edit distance to word, the first in
// order of the alphabet among equals, or "" when more than a third of word would change.
func nearest(word string, candidates []string) string {
	const longest = 100
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if diff := len(c) - len(word); diff >= least || -diff >= least {
			continue
		}
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete, replace or swap with a neighbour to
// make b of a.
func distance(a, b string) int {
	var before []int
	last, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := first(a[i] == b[j], 0, 1)
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}

// suggestPath looks for a key near path: first beside it, then one of the same name in
// another section, then anywhere.
func suggestPath(path string, paths []string) string {
	section, name := splitPath(path)
	var beside, namesakes []string
	for _, p := range paths {
		if rest, ok := strings.CutPrefix(p, section); ok && (section == "" || strings.HasPrefix(rest, ".")) {
			next, _, _ := strings.Cut(strings.TrimPrefix(rest, "."), ".")
			beside = append(beside, next)
		}
		if _, n := splitPath(p); n == name {
			namesakes = append(namesakes, p)
		}
	}
	if s := suggest(name, beside); s != "" {
		return s
	}
	switch {
	case len(namesakes) == 1:
		return suggest(namesakes[0], namesakes)
	case len(beside) > 0: // the section is right, so its name is no typing error
		return ""
	default:
		return suggest(path, paths)
	}
}

// suggestVariable looks for a variable near name among those that begin with prefix.
func suggestVariable(name, prefix string, all map[string]bool) string {
	var rests []string
	for v := range all {
		if rest, ok := strings.CutPrefix(v, prefix); ok {
			rests = append(rests, rest)
		}
	}
	if near := nearest(strings.TrimPrefix(name, prefix), rests); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", prefix+near)
	}
	return ""
}

// splitPath cuts a path at its last dot.
func splitPath(path string) (section, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
