package interest

import (
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// pathForm is what a field shows of the path that an open was given.
type pathForm uint8

const (
	noPath    pathForm = iota
	wholePath          // the absolute path in normal form, as the probe compares it
	rawPath            // the path as it was passed
	directory          // its folder, or the path itself where that is a folder
	lastName           // its last component
)

var openPaths = map[string]pathForm{
	"fd.name": wholePath, "evt.abspath": wholePath, "evt.abspath.src": wholePath, "fs.path.name": wholePath,
	"evt.arg.name": wholePath,
	"fd.nameraw":   rawPath, "fs.path.nameraw": rawPath, "evt.rawarg.name": rawPath,
	"fd.directory": directory,
	"fd.filename":  lastName,
}

// paths derives the set of paths of which an open satisfies the comparison. It is false if
// nothing is known, as of comparisons that must not be true: what an open's path is not
// would have to be told exactly.
func paths(form pathForm, c rules.Comparison) (*probe.Paths, bool) {
	op, ok := c.Operator()
	if !ok || c.Differs() {
		return nil, false
	}
	var set probe.Paths
	for _, s := range c.Texts() {
		if s == "" || strings.Contains(s, "<") || !addPath(&set, form, op, s) {
			return nil, false
		}
	}
	return reduce(&set), size(&set) > 0
}

// addPath adds to the set what a path must be like for the comparison with one literal to be
// true.
func addPath(set *probe.Paths, form pathForm, op filter.Op, s string) bool {
	switch op {
	case filter.In:
		return addEqual(set, form, s)
	case filter.StartsWith:
		return addPrefix(set, form, s)
	case filter.EndsWith:
		return addSuffix(set, form, s)
	case filter.Contains:
		return addPart(set, form, s)
	case filter.Glob:
		return addGlob(set, form, s)
	case filter.PMatch:
		return addBelow(set, form, s)
	}
	return false
}

// isNormal says that s can stand in an absolute path in normal form from its first byte on.
// Other paths are in every set, so it does not matter what they match.
func isNormal(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	parts := strings.Split(s[1:], "/")
	for i, part := range parts {
		last := i == len(parts)-1
		if part == "" && !last || !last && (part == "." || part == "..") {
			return false
		}
	}
	return true
}

func addEqual(set *probe.Paths, form pathForm, s string) bool {
	switch {
	case form == lastName:
		if strings.Contains(s, "/") {
			return false
		}
		set.Names = append(set.Names, s)
	case form == rawPath && !strings.HasPrefix(s, "/"):
		return addSuffix(set, form, "/"+s)
	case !isNormal(s), form == directory && s == "/":
		// A path without a folder to be named has the root for one.
		return false
	case form == directory:
		set.Equal = append(set.Equal, s)
		set.Directories = append(set.Directories, s)
	default:
		set.Equal = append(set.Equal, s)
	}
	return true
}

func addPrefix(set *probe.Paths, form pathForm, s string) bool {
	switch {
	case form == lastName:
		return addPart(set, wholePath, "/"+s)
	case form == rawPath && !strings.HasPrefix(s, "/"):
		// Behind the folder that the path starts from.
		return addPart(set, wholePath, "/"+s)
	case !isNormal(s), s == "/":
		return false
	}
	set.Prefixes = append(set.Prefixes, s)
	return true
}

func addSuffix(set *probe.Paths, form pathForm, s string) bool {
	if !isNormal("/"+strings.TrimPrefix(s, "/")) || strings.HasSuffix(s, "/") {
		return false
	}
	set.Suffixes = append(set.Suffixes, s)
	if form == directory {
		set.Parts = append(set.Parts, s+"/")
	}
	return true
}

func addPart(set *probe.Paths, form pathForm, s string) bool {
	if s == "/" || form == lastName && strings.Contains(s, "/") {
		return false
	}
	set.Parts = append(set.Parts, s)
	return true
}

// addGlob takes the literal text at a pattern's beginning, or that at its end, if one of them
// is long enough to tell paths apart, or else the longest in between.
func addGlob(set *probe.Paths, form pathForm, pattern string) bool {
	const special = `*?[]\`
	if strings.ContainsAny(pattern, `[]\`) {
		pattern, _, _ = strings.Cut(pattern, string(pattern[strings.IndexAny(pattern, `[]\`)]))
		pattern += "*"
	}
	pieces := strings.FieldsFunc(pattern, func(r rune) bool { return strings.ContainsRune(special, r) })
	if len(pieces) == 0 {
		return false
	}
	if !strings.ContainsAny(pattern, special) {
		return addEqual(set, form, pattern)
	}
	longest := slices.MaxFunc(pieces, func(a, b string) int { return len(a) - len(b) })
	if len(longest) < 3 {
		return false
	}
	switch {
	case strings.HasPrefix(pattern, longest):
		return addPrefix(set, form, longest)
	case strings.HasSuffix(pattern, longest):
		return addSuffix(set, form, longest)
	}
	return addPart(set, form, longest)
}

// addBelow takes the path of a pmatch and all that is below it.
func addBelow(set *probe.Paths, form pathForm, s string) bool {
	if form != wholePath && form != directory || strings.ContainsAny(s, "*?[") {
		return false
	}
	s = "/" + strings.Trim(s, "/")
	if s == "/" || !isNormal(s) {
		return false
	}
	set.Equal = append(set.Equal, s)
	set.Prefixes = append(set.Prefixes, s+"/")
	return true
}
