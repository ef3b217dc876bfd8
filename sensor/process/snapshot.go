package process

import (
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/saker-security/saker/sensor/container"
)

// nowhere is no folder on any machine: nothing can be read below it.
const nowhere = "/dev/null"

// Snapshot is what a Table knows of one process, in a form that can be written to a file.
// Texts may hold any bytes.
type Snapshot struct {
	PID, PPID, VPID, SID, PGID, VSID, VPGID int32
	UID, GID, LoginUID, TTY                 uint32
	// Times are in nanoseconds since the epoch, as in Process.
	StartTime, ExecTime, PidnsStart uint64
	HostPidns                       bool   `json:",omitempty"`
	Comm, Cwd, Cgroup               []byte `json:",omitempty"`
	// Program is what the process executes, nil if that is not known.
	Program *Program `json:",omitempty"`
}

// Program is an Image in the same form. Argv and Env are ended by NUL each, Name is what the
// process was called when it executed the program.
type Program struct {
	Path, Argv, Env, Name                       []byte `json:",omitempty"`
	Inode, Ctime, Mtime                         uint64 `json:",omitempty"`
	UpperLayer, LowerLayer, FromMemfd, Writable bool   `json:",omitempty"`
}

// Snapshot returns what is known of p.
func (p *Process) Snapshot() Snapshot {
	s := Snapshot{
		PID: p.PID, PPID: p.PPID, VPID: p.VPID, SID: p.SID, PGID: p.PGID, VSID: p.VSID, VPGID: p.VPGID,
		UID: p.UID, GID: p.GID, LoginUID: p.LoginUID, TTY: p.TTY,
		StartTime: p.StartTime, ExecTime: p.ExecTime, PidnsStart: p.PidnsStart, HostPidns: p.HostPidns,
		Comm: []byte(p.Comm), Cwd: []byte(p.Cwd), Cgroup: []byte(p.Cgroup),
	}
	if im := p.Image; im.Known {
		s.Program = &Program{
			Path: []byte(im.Path), Argv: []byte(im.argv), Env: []byte(im.env), Name: []byte(im.comm),
			Inode: im.Inode, Ctime: im.Ctime, Mtime: im.Mtime,
			UpperLayer: im.UpperLayer, LowerLayer: im.LowerLayer, FromMemfd: im.FromMemfd, Writable: im.Writable,
		}
	}
	return s
}

// All yields the processes that are kept, those that have ended among them, in no order. The
// table must not be changed meanwhile.
func (t *Table) All() iter.Seq[*Process] { return maps.Values(t.procs) }

// Partial says that the process is known from a record alone: /proc was not or could not be
// read.
func (p *Process) Partial() bool { return p.partial }

// NewRestored returns an empty table for what was recorded, on this machine or another: it
// reads nothing of the present one. Restore and Apply fill it. An orphan is taken to be
// adopted by the first process of its pid namespace.
func NewRestored(opt Options) *Table {
	opt.Proc = nowhere
	t := NewTable(opt)
	t.restored = true
	return t
}

// Restore adds the process of a snapshot in place of any other with its id.
func (t *Table) Restore(s Snapshot) {
	p := &Process{
		PID: s.PID, PPID: s.PPID, VPID: s.VPID, SID: s.SID, PGID: s.PGID, VSID: s.VSID, VPGID: s.VPGID,
		UID: s.UID, GID: s.GID, LoginUID: s.LoginUID, TTY: s.TTY,
		StartTime: s.StartTime, ExecTime: s.ExecTime, PidnsStart: s.PidnsStart, HostPidns: s.HostPidns,
		Comm: string(s.Comm), Image: unknown, partial: s.Program == nil,
	}
	p.setCgroup(string(s.Cgroup))
	p.setCwd(string(s.Cwd))
	if q := s.Program; q != nil {
		var im *Image
		im, t.buf = newImage(imageText{argv: q.Argv, env: q.Env, path: string(q.Path), comm: string(q.Name)}, t.buf)
		im.Inode, im.Ctime, im.Mtime = q.Inode, q.Ctime, q.Mtime
		im.UpperLayer, im.LowerLayer, im.FromMemfd, im.Writable = q.UpperLayer, q.LowerLayer, q.FromMemfd, q.Writable
		p.Image = im
	}
	t.insert(p)
}

// first is the first process of p's pid namespace, which adopts its orphans.
func (t *Table) first(p *Process) *Process {
	if p.HostPidns {
		return t.procs[1]
	}
	for _, q := range t.procs {
		if q.VPID == 1 && q.Container == p.Container && q.exited == 0 && !q.HostPidns {
			return q
		}
	}
	return nil
}

// Accounts are the users and groups of the host or of a container, by their ids.
type Accounts struct {
	Users  map[uint32]User
	Groups map[uint32]string
}

// Accounts returns the users and groups as p sees them.
func (u *Users) Accounts(p *Process) Accounts {
	a := u.accounts(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	return Accounts{Users: maps.Clone(a.users), Groups: maps.Clone(a.groups)}
}

// NewRestoredUsers returns Users without any account, which reads nothing of this machine.
func NewRestoredUsers() *Users {
	never := time.Unix(0, 0)
	return NewUsers(UsersOptions{Root: nowhere, Proc: nowhere, Now: func() time.Time { return never }})
}

// Restore takes over the accounts of a container, or of the host for the zero ID.
func (u *Users) Restore(of container.ID, accounts Accounts) {
	p := &Process{Container: container.ID{Full: strings.Clone(of.Full), Engine: of.Engine}}
	a := u.accounts(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users, a.groups, a.checked = accounts.Users, accounts.Groups, u.opt.Now()
}
