package written

import (
	"path"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
)

// typeChars are fd.typechar by fd.type.
var typeChars = map[string]string{
	"file": "f", "directory": "d", "ipv4": "4", "ipv6": "6", "unix": "u", "pipe": "p", "event": "e",
	"signalfd": "s", "eventpoll": "l", "inotify": "i", "timerfd": "t", "netlink": "n", "bpf": "b",
	"userfaultfd": "u", "io_uring": "r", "memfd": "m", "pidfd": "P",
}

var fileFollows = map[string]follower{
	"fd.name": func(e *Event, _ fields.Arg) fields.Value {
		if e.opens() {
			if v := e.firstOf("fs.path.name", "evt.arg.name"); v.Valid {
				return v
			}
		}
		dir, hasDir := e.text("fd.directory")
		name, hasName := e.text("fd.filename")
		if hasDir && hasName {
			return fields.Text(path.Join(dir, name))
		}
		return e.connection().name()
	},
	"fd.nameraw": func(e *Event, _ fields.Arg) fields.Value {
		if e.opens() {
			return e.firstOf("fs.path.nameraw", "fd.name")
		}
		return null
	},
	"fd.type": func(e *Event, _ fields.Arg) fields.Value {
		char, ok := e.given["fd.typechar"]
		if !ok || !char.Valid || e.opens() && e.failed() {
			return null
		}
		for name, c := range typeChars {
			if c == char.Str && name != "userfaultfd" {
				return fields.Text(name)
			}
		}
		return null
	},
	"fd.typechar": func(e *Event, _ fields.Arg) fields.Value {
		if v, ok := e.given["fd.type"]; ok && v.Valid && typeChars[v.Str] != "" {
			return fields.Text(typeChars[v.Str])
		}
		return null
	},
	"fd.directory": func(e *Event, _ fields.Arg) fields.Value {
		name, ok := e.filePath()
		switch {
		case !ok:
			return null
		case e.Field("fd.typechar").Str == "d":
			return fields.Text(name)
		}
		return fields.Text(path.Dir(name))
	},
	"fd.filename": func(e *Event, _ fields.Arg) fields.Value {
		name, ok := e.filePath()
		if !ok || e.Field("fd.typechar").Str == "d" || e.opens() && e.failed() {
			return null
		}
		return fields.Text(path.Base(name))
	},
	"fs.path.name": func(e *Event, _ fields.Arg) fields.Value {
		if e.opens() {
			return e.firstOf("fd.name", "evt.abspath")
		}
		if e.failed() {
			return null
		}
		return e.firstOf("evt.abspath", "evt.arg.name", "evt.arg.path", "evt.arg.filename", "evt.arg.pathname")
	},
	"fs.path.nameraw":   same("fs.path.name"),
	"fs.path.sourceraw": same("fs.path.source"),
	"fs.path.targetraw": same("fs.path.target"),
	"evt.abspath": func(e *Event, _ fields.Arg) fields.Value {
		if e.opens() {
			return e.firstOf("fs.path.name", "fd.name")
		}
		return e.Field("fs.path.name")
	},
	"evt.abspath.src": ofTwoPaths("evt.arg.oldpath", "fs.path.source", "fs.path.target"),
	"evt.abspath.dst": ofTwoPaths("evt.arg.newpath", "fs.path.target", "fs.path.source"),
	"evt.arg.oldpath": ofTwoPaths("", "fs.path.source", "fs.path.target"),
	"evt.arg.newpath": ofTwoPaths("", "fs.path.target", "fs.path.source"),
	"evt.arg.name": func(e *Event, _ fields.Arg) fields.Value {
		if e.opens() {
			return e.Field("fd.name")
		}
		return null
	},
	"fs.path.source": ofPathArgs("evt.arg.oldpath", "evt.arg.newpath", "evt.arg.linkpath"),
	"fs.path.target": ofPathArgs("evt.arg.newpath", "evt.arg.oldpath", "evt.arg.target"),
}

var fileUsual = map[string]follower{
	"fd.num": func(e *Event, _ fields.Arg) fields.Value {
		switch {
		case !e.Field("fd.name").Valid && !e.Field("fd.typechar").Valid:
			return null
		case e.makesDescriptor() && e.failed():
			return fields.Signed(-1)
		}
		if n, ok := e.given["evt.rawres"]; ok && n.Valid && e.makesDescriptor() {
			return n
		}
		return fields.Signed(3)
	},
	"fd.typechar": func(e *Event, _ fields.Arg) fields.Value {
		return fields.Value{Valid: typeChars[e.usualType()] != "", Str: typeChars[e.usualType()]}
	},
	"fd.type": func(e *Event, _ fields.Arg) fields.Value {
		t := e.usualType()
		return fields.Value{Valid: t != "" && (!e.makesDescriptor() || !e.failed()), Str: t}
	},
}

// usualType is what a descriptor refers to, going by its name and by what is done to it;
// empty where that does not tell.
func (e *Event) usualType() string {
	if c := e.connection(); c.known() {
		return c.family()
	}
	name, ok := e.text("fd.name")
	switch {
	case !ok || !strings.Contains(name, "/"):
		return ""
	case e.isOneOf("connect", "accept", "accept4", "bind", "listen", "socket", "sendto", "sendmsg", "recvfrom", "recvmsg"):
		return "unix"
	}
	return "file"
}

// filePath is fd.name where that is a path in the file system.
func (e *Event) filePath() (string, bool) {
	name, ok := e.text("fd.name")
	if t := e.Field("fd.typechar"); t.Valid && t.Str != "f" && t.Str != "d" {
		return "", false
	}
	return name, ok && strings.HasPrefix(name, "/")
}

// firstOf is the first of the fields that is known.
func (e *Event) firstOf(names ...string) fields.Value {
	for _, name := range names {
		if v := e.Field(name); v.Valid {
			return v
		}
	}
	return null
}

// ofTwoPaths is a follower of a path of a rename or link: the field called first if that is
// known, else the one of the two for renames and the one for links.
func ofTwoPaths(first, ofRename, ofLink string) follower {
	return func(e *Event, _ fields.Arg) fields.Value {
		if first != "" {
			if v := e.Field(first); v.Valid {
				return v
			}
		}
		switch {
		case e.isOneOf("rename", "renameat", "renameat2"):
			return e.Field(ofRename)
		case e.isOneOf("link", "linkat"):
			return e.Field(ofLink)
		}
		return null
	}
}

// ofPathArgs is a follower from the path arguments of renames, links and symlinks, which are
// null when the call failed.
func ofPathArgs(ofRename, ofLink, ofSymlink string) follower {
	return func(e *Event, _ fields.Arg) fields.Value {
		switch {
		case e.failed():
			return null
		case e.isOneOf("rename", "renameat", "renameat2"):
			return e.Field(ofRename)
		case e.isOneOf("link", "linkat"):
			return e.Field(ofLink)
		case e.isOneOf("symlink", "symlinkat"):
			return e.Field(ofSymlink)
		}
		return null
	}
}
