//go:build amd64

package probe

import (
	"os"

	"golang.org/x/sys/unix"
)

// The calls without a folder descriptor, which newer architectures have not.
func init() {
	legacy := []fileCase{
		{
			"a plain open", KindOpen,
			func() error { _ = write("o"); return call1(unix.SYS_OPEN, ptr("o"), unix.O_RDWR, 0) },
			func(dir string) Record {
				return Record{Path: "o", Dir: dir, Ret: newFD, OpenFlags: unix.O_RDWR, File: File{Kind: FileRegular, Path: dir + "/o"}}
			},
		},
		{
			"a creat", KindCreat,
			func() error { return call1(unix.SYS_CREAT, ptr("c"), 0o711) },
			func(dir string) Record {
				return Record{
					Path: "c", Dir: dir, Ret: newFD, Created: true, Mode: 0o711,
					OpenFlags: unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC,
					File:      File{Kind: FileRegular, Path: dir + "/c"},
				}
			},
		},
		{
			"an unlink", KindUnlink,
			func() error { _ = write("u"); return call1(unix.SYS_UNLINK, ptr("u")) },
			func(dir string) Record { return Record{Path: "u", Dir: dir} },
		},
		{
			"a rmdir", KindRmdir,
			func() error { _ = os.Mkdir("r", 0o700); return call1(unix.SYS_RMDIR, ptr("r")) },
			func(dir string) Record { return Record{Path: "r", Dir: dir} },
		},
		{
			"a rename", KindRename,
			func() error { _ = write("from"); return call1(unix.SYS_RENAME, ptr("from"), ptr("to")) },
			func(dir string) Record { return Record{Path: "from", Dir: dir, Path2: "to", Dir2: dir} },
		},
		{
			"a renameat", KindRenameat,
			func() error {
				_ = write("from")
				return call1(unix.SYS_RENAMEAT, 0xffffff9c, ptr("from"), 0xffffff9c, ptr("to"))
			},
			func(dir string) Record { return Record{Path: "from", Dir: dir, Path2: "to", Dir2: dir} },
		},
		{
			"a link", KindLink,
			func() error { _ = write("old"); return call1(unix.SYS_LINK, ptr("old"), ptr("new")) },
			func(dir string) Record { return Record{Path: "old", Dir: dir, Path2: "new", Dir2: dir} },
		},
		{
			"a symlink", KindSymlink,
			func() error { return call1(unix.SYS_SYMLINK, ptr("/etc/shadow"), ptr("s")) },
			func(dir string) Record { return Record{Path: "/etc/shadow", Path2: "s", Dir2: dir} },
		},
		{
			"a mkdir", KindMkdir,
			func() error { return call1(unix.SYS_MKDIR, ptr("m"), 0o750) },
			func(dir string) Record { return Record{Path: "m", Dir: dir, Mode: 0o750} },
		},
		{
			"a chmod", KindChmod,
			func() error { _ = write("c"); return call1(unix.SYS_CHMOD, ptr("c"), 0o6755) },
			func(dir string) Record { return Record{Path: "c", Dir: dir, Mode: 0o6755} },
		},
		{
			"a chown", KindChown,
			func() error { _ = write("c"); return call1(unix.SYS_CHOWN, ptr("c"), 0, 0) },
			func(dir string) Record { return Record{Path: "c", Dir: dir} },
		},
		{
			"a lchown", KindLchown,
			func() error { _ = write("c"); return call1(unix.SYS_LCHOWN, ptr("c"), 0, 0) },
			func(dir string) Record { return Record{Path: "c", Dir: dir} },
		},
		{
			"a dup2", KindDup2,
			func() error {
				return call1(unix.SYS_DUP2, uintptr(must(unix.Open("d", unix.O_CREAT, 0o600))), 150)
			},
			func(dir string) Record {
				return Record{Ret: 150, File: File{Kind: FileRegular, Num: 150, Path: dir + "/d"}}
			},
		},
	}
	for _, c := range legacy {
		action(c.name, c.do)
	}
	fileCases = append(fileCases, legacy...)
}

// legacyOpen makes one of the old opens; it reports that the call makes a descriptor.
func (c *caller) legacyOpen(sys func(uintptr, ...uintptr), flags uintptr) bool {
	if c.IntN(2) == 0 {
		sys(unix.SYS_OPEN, c.path(), flags, 0o600)
	} else {
		sys(unix.SYS_CREAT, c.path(), 0o600)
	}
	return true
}
