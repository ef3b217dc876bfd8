package probe

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Holds says whether the clause holds for a record, as far as a record tells, whatever the
// process was judged to be. The probe reports at least the calls for which a clause holds,
// and some that only look so to it.
func (c Clause) Holds(r *Record) bool {
	return slices.Contains(c.Kinds, r.Kind) && c.holdsResult(r) && c.holdsOpen(r) && c.holdsSocket(r)
}

func (c Clause) holdsResult(r *Record) bool {
	var results Results
	switch {
	case r.Ret >= 0:
		results = Succeeded
	case r.Kind == KindConnect && r.Ret == -int64(unix.EINPROGRESS):
		results = Succeeded | Failed
	default:
		results = Failed
	}
	return (c.Results == 0 || c.Results&results != 0) &&
		(len(c.Values) == 0 || slices.Contains(c.Values, r.Ret))
}

func (c Clause) holdsOpen(r *Record) bool {
	switch r.Kind {
	case KindOpen, KindOpenat, KindOpenat2, KindCreat:
		return (c.Opens == 0 || c.Opens&openClasses(r.OpenFlags) != 0) && (c.Paths == nil || c.Paths.hold(r))
	}
	return true
}

func openClasses(flags uint32) OpenClass {
	var classes OpenClass
	access := flags & unix.O_ACCMODE
	if access != unix.O_WRONLY {
		classes |= OpenReading
	}
	if access != 0 || flags&unix.O_TRUNC != 0 {
		classes |= OpenWriting
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0 {
		classes |= OpenCreating
	}
	return classes
}

// hold says whether the path of a record is in the set.
func (p *Paths) hold(r *Record) bool {
	full := r.Path
	if !strings.HasPrefix(full, "/") {
		if r.Dir == "" {
			return true
		}
		full = strings.TrimSuffix(r.Dir, "/") + "/" + full
	}
	if !r.PathValid || len(r.Path) >= pathLimit || len(r.Dir) >= pathLimit || full != path.Clean(full) {
		return true
	}
	return p.contains(full)
}

// contains says whether a path in normal form is in the set.
func (p *Paths) contains(full string) bool {
	slash := strings.LastIndexByte(full, '/')
	folder, name := full[:max(slash, 1)], full[slash+1:]
	has := func(list []string, test func(s, part string) bool) bool {
		return slices.ContainsFunc(list, func(part string) bool { return test(full, part) })
	}
	return slices.Contains(p.Equal, full) ||
		slices.Contains(p.Directories, folder) && name != "" ||
		slices.Contains(p.Names, name) && name != "" ||
		has(p.Prefixes, strings.HasPrefix) || has(p.Suffixes, strings.HasSuffix) || has(p.Parts, strings.Contains)
}

func (c Clause) holdsSocket(r *Record) bool {
	if c.Families == 0 && c.Protocols == 0 || !r.Kind.NarrowedByFamily() {
		return true
	}
	family := uint64(r.File.Family)
	switch {
	case r.File.Kind == NoFile && r.Kind == KindSocket:
		family = r.Args[0]
	case r.File.Kind == NoFile, r.File.Kind == FileSocket && family == 0:
		return true
	case family == 0:
		return false // no socket at all
	}
	if c.Families != 0 && family < 64 && c.Families>>family&1 == 0 {
		return false
	}
	if c.Protocols == 0 {
		return true
	}
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return false
	}
	if r.File.Kind == NoFile {
		return true // any may be meant
	}
	switch r.File.Proto {
	case unix.IPPROTO_TCP:
		return c.Protocols&TCP != 0
	case unix.IPPROTO_UDP:
		return c.Protocols&UDP != 0
	}
	return c.Protocols&OtherProtocol != 0
}
