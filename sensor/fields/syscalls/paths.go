package syscalls

import (
	"bytes"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

// pathArg is one of the two path arguments of a record.
type pathArg uint8

const (
	firstPath pathArg = iota
	secondPath
)

// unknownDir stands in fd.name for the folder of a descriptor that is not known.
const unknownDir = "<UNKNOWN>"

// raw returns the path as it was passed; false where it could not be read.
func (e *Event) raw(p pathArg) (string, bool) {
	if p == secondPath {
		return e.Rec.Path2, e.Rec.Path2Valid
	}
	return e.Rec.Path, e.Rec.PathValid
}

// dir returns the folder that a relative path starts from, empty if it is not known.
func (e *Event) dir(p pathArg) string {
	dir := e.Rec.Dir
	if p == secondPath {
		dir = e.Rec.Dir2
	}
	if dir == "" {
		if fd, ok := e.dirfd(p); !ok || fd == unix.AT_FDCWD {
			return e.Proc.Cwd
		}
	}
	return dir
}

// dirfd returns the descriptor argument that a relative path starts from; false for a
// system call that has none.
func (e *Event) dirfd(p pathArg) (int32, bool) {
	at := -1
	switch e.kind() {
	case probe.KindOpenat, probe.KindOpenat2, probe.KindUnlinkat, probe.KindMkdirat,
		probe.KindFchmodat, probe.KindFchownat, probe.KindExecveat:
		at = 0
	case probe.KindSymlinkat:
		at = 1
	case probe.KindLinkat, probe.KindRenameat, probe.KindRenameat2:
		at = 2 * int(p)
	}
	if at < 0 {
		var ok bool
		if at, ok = e.Rec.Kind.Folder(p == secondPath); !ok {
			return 0, false
		}
	}
	return int32(e.Rec.Args[at]), true
}

// absolute is the absolute, normalised form of a path; null where the path is not known.
func (e *Event) absolute(p pathArg) fields.Value {
	path, ok := e.raw(p)
	if !ok {
		return null
	}
	if strings.HasPrefix(path, "/") {
		return fields.Value{Valid: true, Str: e.clean("", path)}
	}
	dir := e.dir(p)
	if dir == "" {
		return fields.Text(e.concat(unknownDir, path))
	}
	return fields.Text(e.clean(dir, path))
}

// resolved is the form of a path in evt.arg: as it was passed if it is absolute or empty,
// else absolute.
func (e *Event) resolved(p pathArg) (string, bool) {
	path, ok := e.raw(p)
	if !ok || path == "" || path[0] == '/' {
		return path, ok
	}
	dir := e.dir(p)
	if dir == "" {
		return path, true
	}
	return e.clean(dir, path), true
}

func (e *Event) concat(a, b string) string {
	from := len(e.text)
	return e.made(append(append(e.text, a...), b...), from)
}

// clean joins dir and path and drops what does not change where they lead in a tree without
// links: empty components, dots, and two dots with what is before them.
func (e *Event) clean(dir, path string) string {
	if dir == "" && isClean(path) {
		return path
	}
	from := len(e.text)
	b := appendClean(e.text, from, dir)
	b = appendClean(b, from, path)
	if len(b) == from {
		b = append(b, '/')
	}
	return e.made(b, from)
}

func appendClean(b []byte, from int, path string) []byte {
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			if i := bytes.LastIndexByte(b[from:], '/'); i >= 0 {
				b = b[:from+i]
			}
		default:
			b = append(append(b, '/'), part...)
		}
	}
	return b
}

// isClean says that clean would leave an absolute path as it is.
func isClean(path string) bool {
	if path == "/" {
		return true
	}
	for rest := path; rest != ""; {
		if rest[0] != '/' {
			return false
		}
		rest = rest[1:]
		end := strings.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
		}
		if part := rest[:end]; part == "" || part == "." || part == ".." {
			return false
		}
		rest = rest[end:]
	}
	return true
}

// bytesAsString views b, which belongs to the record and does not change while it is valid.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// pathRoles are the paths of an event that fs.path.* shows: name, or source and target.
type pathRoles struct {
	name, source, target int8 // 1 + pathArg; 0 for none, -1 for the descriptor
}

func (e *Event) pathRoles() pathRoles {
	const first, second, descriptor = 1 + int8(firstPath), 1 + int8(secondPath), -1
	switch e.kind() {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
		return pathRoles{name: first}
	case probe.KindMkdir, probe.KindMkdirat, probe.KindRmdir, probe.KindUnlink,
		probe.KindUnlinkat, probe.KindChmod, probe.KindFchmodat, probe.KindChown,
		probe.KindLchown, probe.KindFchownat, probe.KindUmount2:
		if e.Rec.Ret == 0 {
			return pathRoles{name: first}
		}
	case probe.KindFchmod, probe.KindFchown:
		if e.Rec.Ret == 0 {
			return pathRoles{name: descriptor}
		}
	case probe.KindRename, probe.KindRenameat, probe.KindRenameat2, probe.KindMount:
		if e.Rec.Ret == 0 {
			return pathRoles{source: first, target: second}
		}
	case probe.KindLink, probe.KindLinkat, probe.KindSymlink, probe.KindSymlinkat:
		if e.Rec.Ret == 0 {
			return pathRoles{source: second, target: first}
		}
	}
	return pathRoles{}
}

func pathFields() []fields.Field {
	field := func(name, doc string, role func(pathRoles) int8, raw bool) fields.Field {
		return fields.Field{
			Name: name, Type: fields.Path, Doc: doc,
			Extract: extractor(func(e *Event) fields.Value {
				return e.pathByRole(role(e.pathRoles()), raw)
			}),
		}
	}
	name := func(r pathRoles) int8 { return r.name }
	source := func(r pathRoles) int8 { return r.source }
	target := func(r pathRoles) int8 { return r.target }
	const null = " Null for failed calls and for other events."
	return []fields.Field{
		field("fs.path.name", "Absolute path of the file that is opened, made, removed or changed."+null, name, false),
		field("fs.path.nameraw", "That path as it was passed."+null, name, true),
		field("fs.path.source", "Absolute path that a rename or mount moves from, or the new name of a link."+null, source, false),
		field("fs.path.sourceraw", "That path as it was passed."+null, source, true),
		field("fs.path.target", "Absolute path that a rename or mount moves to, or what a link points to."+null, target, false),
		field("fs.path.targetraw", "That path as it was passed."+null, target, true),
	}
}

func (e *Event) pathByRole(role int8, raw bool) fields.Value {
	switch {
	case role == 0:
		return null
	case role < 0:
		if name, ok := e.descriptorName(); ok {
			return fields.Text(name)
		}
		return null
	case raw:
		path, ok := e.raw(pathArg(role - 1))
		return fields.Value{Valid: ok, Str: path}
	case e.kind() == probe.KindSymlink || e.kind() == probe.KindSymlinkat:
		return e.symlinkPath(pathArg(role - 1))
	default:
		return e.absolute(pathArg(role - 1))
	}
}

// symlinkPath is the absolute form of a path of a symlink, whose target is relative to the
// link's folder.
func (e *Event) symlinkPath(p pathArg) fields.Value {
	path, ok := e.raw(p)
	if p == secondPath || !ok || strings.HasPrefix(path, "/") {
		return e.absolute(p)
	}
	link, ok := e.raw(secondPath)
	if !ok {
		return null
	}
	folder := link[:strings.LastIndexByte(link, '/')+1]
	if strings.HasPrefix(link, "/") {
		return fields.Text(e.clean(folder, path))
	}
	dir := e.dir(secondPath)
	if dir == "" {
		return fields.Text(e.concat(unknownDir, path))
	}
	return fields.Text(e.clean(e.clean(dir, folder), path))
}
