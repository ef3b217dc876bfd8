package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/probe"
)

// blockLimit is how much of arguments and environment is read, like the probe's.
const blockLimit = 4096

// ticksPerSecond is the unit of times in /proc/<pid>/stat, the same on every architecture
// that the probe runs on.
const ticksPerSecond = 100

// procfs reads processes from a proc file system.
type procfs struct {
	root string
	// boot is when the machine was booted, in nanoseconds since the epoch.
	boot uint64
	buf  []byte
}

func newProcfs(root string, boot uint64) *procfs {
	return &procfs{root: root, boot: boot, buf: make([]byte, 16<<10)}
}

// bootTime is when the machine was booted, in nanoseconds since the epoch.
func bootTime() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return uint64(time.Now().UnixNano() - ts.Nano())
}

// pids yields the processes there are.
func (fs *procfs) pids() ([]int32, error) {
	dir, err := os.Open(fs.root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	pids := make([]int32, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.ParseInt(name, 10, 32); err == nil && pid > 0 {
			pids = append(pids, int32(pid))
		}
	}
	return pids, nil
}

// read returns the beginning of a file of the process, valid until the next read. It goes
// past package os, whose files cost as much again as reading them.
func (fs *procfs) read(pid int32, name string, limit int) ([]byte, error) {
	fd, err := openFile(fs.path(pid, name))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n := 0
	for n < limit {
		got, err := unix.Read(fd, fs.buf[n:limit])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fs.buf[:n], fmt.Errorf("read %s of process %d: %w", name, pid, err)
		}
		if got == 0 {
			break
		}
		n += got
	}
	return fs.buf[:n], nil
}

func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

func (fs *procfs) path(pid int32, name string) string {
	return fs.root + "/" + strconv.Itoa(int(pid)) + "/" + name
}

// process reads what there is to know of a process. Parts that may not be read, or of which
// there are none, as of a thread of the kernel, are left out; an error means that there is no
// such process.
func (fs *procfs) process(pid int32, keepEnv bool, scratch []byte) (*Process, []byte, error) {
	raw, err := fs.read(pid, "stat", 4096)
	if err != nil {
		return nil, scratch, err
	}
	st, err := parseStat(raw)
	if err != nil {
		return nil, scratch, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &Process{
		PID: pid, PPID: st.ppid, Comm: st.comm, PGID: st.pgrp, SID: st.session, TTY: st.tty,
		StartTime: fs.boot + st.start*(uint64(time.Second)/ticksPerSecond),
		LoginUID:  ^uint32(0),
	}
	fs.readStatus(p)
	if raw, err := fs.read(pid, "loginuid", 32); err == nil {
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 32); err == nil {
			p.LoginUID = uint32(n)
		}
	}
	if raw, err := fs.read(pid, "cgroup", 8192); err == nil {
		p.setCgroup(parseCgroup(string(raw)))
	}
	if cwd, err := os.Readlink(fs.path(pid, "cwd")); err == nil {
		p.setCwd(strings.TrimSuffix(cwd, " (deleted)"))
	}
	p.Image, scratch = fs.image(p, keepEnv, scratch)
	return p, scratch, nil
}

func (fs *procfs) readStatus(p *Process) {
	p.VPID, p.VPGID, p.VSID, p.HostPidns = p.PID, p.PGID, p.SID, true
	raw, err := fs.read(p.PID, "status", 8192)
	if err != nil {
		return
	}
	s := parseStatus(raw)
	p.UID, p.GID = s.uid, s.gid
	if s.vpid != 0 {
		p.VPID, p.VPGID, p.VSID, p.HostPidns = s.vpid, s.vpgid, s.vsid, !s.nested
	}
}

func (fs *procfs) image(p *Process, keepEnv bool, scratch []byte) (*Image, []byte) {
	argv, _ := fs.read(p.PID, "cmdline", blockLimit)
	t := imageText{argv: trimPadding(bytes.Clone(argv)), comm: p.Comm}
	if keepEnv {
		env, _ := fs.read(p.PID, "environ", blockLimit)
		t.env = trimPadding(env)
	}
	exe := fs.path(p.PID, "exe")
	memfd := false
	if link, err := os.Readlink(exe); err == nil {
		t.path = strings.TrimSuffix(link, " (deleted)")
		if name, ok := strings.CutPrefix(t.path, "/memfd:"); ok {
			t.path, memfd = "memfd:"+name, true
		}
	}
	im, scratch := newImage(t, scratch)
	im.FromMemfd = memfd
	// What is cached will do: the file system may be one that never answers.
	var st unix.Statx_t
	const want = unix.STATX_INO | unix.STATX_CTIME | unix.STATX_MTIME
	if unix.Statx(unix.AT_FDCWD, exe, unix.AT_STATX_DONT_SYNC, want, &st) == nil {
		im.Inode = st.Ino
		im.Ctime, im.Mtime = nanoseconds(st.Ctime), nanoseconds(st.Mtime)
	}
	return im, scratch
}

func nanoseconds(t unix.StatxTimestamp) uint64 {
	return uint64(t.Sec)*uint64(time.Second) + uint64(t.Nsec)
}

// ppid returns the present parent of a process.
func (fs *procfs) ppid(pid int32) (int32, error) {
	raw, err := fs.read(pid, "stat", 4096)
	if err != nil {
		return 0, err
	}
	st, err := parseStat(raw)
	return st.ppid, err
}

// vtid returns the id of a thread in its own pid namespace.
func (fs *procfs) vtid(pid, tid int32) (int32, bool) {
	raw, err := fs.read(pid, "task/"+strconv.Itoa(int(tid))+"/status", 8192)
	if err != nil {
		return 0, false
	}
	s := parseStatus(raw)
	return s.vpid, s.vpid != 0
}

// descriptor reads what a descriptor refers to.
func (fs *procfs) descriptor(pid int32, fd string) (string, bool) {
	link, err := os.Readlink(fs.path(pid, "fd/"+fd))
	return link, err == nil
}

// descriptors lists the descriptors of a process, at most limit.
func (fs *procfs) descriptors(pid int32, limit int) []string {
	dir, err := os.Open(fs.path(pid, "fd"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(limit)
	return names
}

// trimPadding drops the NULs beyond the one that ends the last string: programs that change
// their title leave them.
func trimPadding(block []byte) []byte {
	n := len(block)
	for n > 1 && block[n-1] == 0 && block[n-2] == 0 {
		n--
	}
	return block[:n]
}

type stat struct {
	comm                string
	ppid, pgrp, session int32
	tty                 uint32
	start               uint64 // ticks after boot
}

var errStat = errors.New("stat has an unknown form")

// parseStat reads /proc/<pid>/stat. The name, in parentheses, may itself hold any byte.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	s := stat{comm: string(b[open+1 : end])}
	if len(s.comm) > maxComm {
		s.comm = s.comm[:maxComm]
	}
	f := bytes.Fields(b[end+1:])
	const ppid, pgrp, session, tty, start = 1, 2, 3, 4, 19
	if len(f) <= start {
		return stat{}, errStat
	}
	for _, n := range []struct {
		to *int32
		at int
	}{{&s.ppid, ppid}, {&s.pgrp, pgrp}, {&s.session, session}} {
		v, err := strconv.ParseInt(string(f[n.at]), 10, 32)
		if err != nil {
			return stat{}, errStat
		}
		*n.to = int32(v)
	}
	// The device number is printed signed.
	t, err := strconv.ParseInt(string(f[tty]), 10, 64)
	if err != nil {
		return stat{}, errStat
	}
	s.tty = uint32(t)
	if s.start, err = strconv.ParseUint(string(f[start]), 10, 64); err != nil {
		return stat{}, errStat
	}
	return s, nil
}

// maxComm is the longest name of a task, without the NUL. Workers of the kernel show a
// longer one in /proc.
const maxComm = 15

type status struct {
	uid, gid          uint32
	vpid, vpgid, vsid int32
	nested            bool
}

// parseStatus reads /proc/<pid>/status; what is missing stays zero.
func parseStatus(b []byte) status {
	var s status
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		key, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		switch string(key) {
		case "Uid":
			s.uid = effective(value)
		case "Gid":
			s.gid = effective(value)
		case "NSpid":
			s.vpid, s.nested = innermost(value)
		case "NSpgid":
			s.vpgid, _ = innermost(value)
		case "NSsid":
			s.vsid, _ = innermost(value)
			return s // the last of them
		}
	}
	return s
}

// effective takes the second of real, effective, saved and file system id.
func effective(ids []byte) uint32 {
	f := bytes.Fields(ids)
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(string(f[1]), 10, 32)
	return uint32(n)
}

// innermost takes the last of the ids from the reader's namespace to the process's own, and
// says whether there is more than one.
func innermost(ids []byte) (int32, bool) {
	f := bytes.Fields(ids)
	if len(f) == 0 {
		return 0, false
	}
	n, _ := strconv.ParseInt(string(f[len(f)-1]), 10, 32)
	return int32(n), len(f) > 1
}

// parseCgroup picks from /proc/<pid>/cgroup the path that names a container; failing that
// that of version 2, and on a machine that uses version 1 the first that is not the root.
func parseCgroup(text string) string {
	var v1, v2 string
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		path := f[2]
		if !container.FromCgroup(path).Host() {
			return path
		}
		switch {
		case f[0] == "0" && f[1] == "":
			v2 = path
		case v1 == "" && path != "/":
			v1 = path
		}
	}
	if v1 != "" && (v2 == "" || v2 == "/") {
		return v1
	}
	return v2
}

// placeholder makes what a record alone tells of a process that /proc did not show.
func placeholder(rec *probe.Record) *Process {
	return &Process{
		PID: rec.PID, Comm: strings.Clone(rec.Comm), UID: rec.UID, GID: rec.GID,
		LoginUID: ^uint32(0), Image: unknown, partial: true,
	}
}
