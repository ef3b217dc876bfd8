package interest

import (
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/probe"
)

// union is the set of the paths of both; nil, which stands for every path, if either is.
func union(a, b *probe.Paths) *probe.Paths {
	if a == nil || b == nil {
		return nil
	}
	return reduce(&probe.Paths{
		Equal:       slices.Concat(a.Equal, b.Equal),
		Prefixes:    slices.Concat(a.Prefixes, b.Prefixes),
		Suffixes:    slices.Concat(a.Suffixes, b.Suffixes),
		Parts:       slices.Concat(a.Parts, b.Parts),
		Directories: slices.Concat(a.Directories, b.Directories),
		Names:       slices.Concat(a.Names, b.Names),
	})
}

// reduce sorts the members of p and leaves out those that others make superfluous.
func reduce(p *probe.Paths) *probe.Paths {
	p.Parts = minimal(p.Parts, strings.Contains)
	p.Prefixes = shortest(p.Prefixes)
	p.Suffixes = minimal(p.Suffixes, strings.HasSuffix)
	drop := func(list []string, covered func(string) bool) []string {
		slices.Sort(list)
		return slices.DeleteFunc(slices.Compact(list), covered)
	}
	p.Prefixes = drop(p.Prefixes, func(s string) bool { return inParts(p, s) })
	p.Suffixes = drop(p.Suffixes, func(s string) bool { return inParts(p, s) })
	p.Directories = drop(p.Directories, func(s string) bool { return coversPrefix(p, strings.TrimSuffix(s, "/")+"/") })
	p.Names = drop(p.Names, func(s string) bool { return coversSuffix(p, "/"+s) })
	others := *p
	others.Equal = nil
	p.Equal = drop(p.Equal, func(s string) bool { return contains(&others, s) })
	return p
}

// minimal sorts texts and drops those that contain another one in the way of within.
func minimal(texts []string, within func(s, part string) bool) []string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	all := slices.Clone(texts)
	return slices.DeleteFunc(texts, func(s string) bool {
		return slices.ContainsFunc(all, func(part string) bool { return part != s && within(s, part) })
	})
}

// shortest sorts texts and drops those that begin with another one.
func shortest(texts []string) []string {
	slices.Sort(texts)
	out := texts[:0]
	for _, s := range texts {
		if len(out) == 0 || !strings.HasPrefix(s, out[len(out)-1]) {
			out = append(out, s)
		}
	}
	return out
}

func inParts(p *probe.Paths, s string) bool {
	return slices.ContainsFunc(p.Parts, func(part string) bool { return strings.Contains(s, part) })
}

func hasPrefix(p *probe.Paths, s string) bool {
	return slices.ContainsFunc(p.Prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}

func hasSuffix(p *probe.Paths, s string) bool {
	return slices.ContainsFunc(p.Suffixes, func(suffix string) bool { return strings.HasSuffix(s, suffix) })
}

// contains says whether an absolute path in normal form is in the set.
func contains(p *probe.Paths, path string) bool {
	i := strings.LastIndexByte(path, '/')
	directory, name := path[:max(i, 0)], path[i+1:]
	if directory == "" {
		directory = "/"
	}
	return slices.Contains(p.Equal, path) || hasPrefix(p, path) || hasSuffix(p, path) || inParts(p, path) ||
		slices.Contains(p.Directories, directory) || slices.Contains(p.Names, name)
}

// intersect is a set of paths that holds at least those that are in both: exactly those
// where that is simple, else those of the set that seems the smaller one.
func intersect(a, b *probe.Paths) *probe.Paths {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case onlyEqual(a):
		return among(a, b)
	case onlyEqual(b):
		return among(b, a)
	case onlyPrefixes(a) && onlyPrefixes(b):
		var p probe.Paths
		for _, x := range a.Prefixes {
			if hasPrefix(b, x) {
				p.Prefixes = append(p.Prefixes, x)
			}
		}
		for _, x := range b.Prefixes {
			if hasPrefix(a, x) {
				p.Prefixes = append(p.Prefixes, x)
			}
		}
		return reduce(&p)
	}
	if breadth(b) < breadth(a) {
		return b
	}
	return a
}

// among are those of the whole paths of a that are in b.
func among(a, b *probe.Paths) *probe.Paths {
	var p probe.Paths
	for _, path := range a.Equal {
		if contains(b, path) {
			p.Equal = append(p.Equal, path)
		}
	}
	return &p
}

func onlyEqual(p *probe.Paths) bool { return size(p) == len(p.Equal) }

func onlyPrefixes(p *probe.Paths) bool { return size(p) == len(p.Prefixes) }

func size(p *probe.Paths) int {
	return len(p.Equal) + len(p.Prefixes) + len(p.Suffixes) + len(p.Parts) + len(p.Directories) + len(p.Names)
}

// samePaths says that two reduced sets are the same.
func samePaths(a, b *probe.Paths) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Equal, b.Equal) && slices.Equal(a.Prefixes, b.Prefixes) && slices.Equal(a.Suffixes, b.Suffixes) &&
		slices.Equal(a.Parts, b.Parts) && slices.Equal(a.Directories, b.Directories) && slices.Equal(a.Names, b.Names)
}

// subset says that every path of a is in b; it may say no where that is so.
func subset(a, b *probe.Paths) bool {
	if a == nil || b == nil {
		return b == nil
	}
	every := func(list []string, covered func(*probe.Paths, string) bool) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return !covered(b, s) })
	}
	return every(a.Equal, contains) && every(a.Prefixes, coversPrefix) && every(a.Suffixes, coversSuffix) &&
		every(a.Parts, inParts) && every(a.Directories, coversDirectory) && every(a.Names, coversName)
}

// The following say that a member of a set adds nothing to p.

func coversPrefix(p *probe.Paths, s string) bool { return hasPrefix(p, s) || inParts(p, s) }

func coversSuffix(p *probe.Paths, s string) bool { return hasSuffix(p, s) || inParts(p, s) }

func coversDirectory(p *probe.Paths, s string) bool {
	below := strings.TrimSuffix(s, "/") + "/"
	return slices.Contains(p.Directories, s) || coversPrefix(p, below)
}

func coversName(p *probe.Paths, s string) bool {
	return slices.Contains(p.Names, s) || coversSuffix(p, "/"+s)
}

// breadth guesses how large a share of all opens is of paths in p, from 0 to 1.
func breadth(p *probe.Paths) float64 {
	if p == nil {
		return 1
	}
	share := 0.0005*float64(len(p.Equal)) + 0.001*float64(len(p.Names)) + 0.005*float64(len(p.Directories))
	for _, s := range slices.Concat(p.Prefixes, p.Suffixes, p.Parts) {
		share += 0.5 / float64(1+len(s)*len(s))
	}
	return min(share, 0.95)
}
