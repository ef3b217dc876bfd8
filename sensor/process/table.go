package process

import (
	"fmt"
	"iter"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/probe"
)

// Options configure a Table. The zero value is a good one.
type Options struct {
	// Limit is the most processes kept, those that ended moments ago among them; the ones
	// that were quiet longest make room. Default 32768.
	Limit int
	// Bytes is the most memory that the kept programs' arguments and environments may take.
	// Default 64 MiB.
	Bytes int
	// Grace is how long a process is kept after its end, so that what still refers to it
	// finds it. Default 5 s.
	Grace time.Duration
	// Env keeps environments, which only rules on proc.env and proc.aenv need.
	Env bool
	// Proc is where proc is mounted. Default /proc.
	Proc string
	// HealRate is how many processes a second may be read from /proc because a record
	// mentions one that is not known. Default 200.
	HealRate int
	// BootTime is when the machine was booted, in nanoseconds since the epoch. Default: now
	// less the uptime.
	BootTime uint64
}

// retryAfter is how long a process that /proc did not show is left alone.
const retryAfter = uint64(time.Second)

// clockSlack is how much later than its child a parent may seem to have started: times
// from /proc count in hundredths of a second, and the clock may have been set.
const clockSlack = uint64(time.Second)

// Stats are counts since the start, and the present size.
type Stats struct {
	// Processes and Bytes are what is kept now.
	Processes, Bytes uint64
	// Evicted were dropped to keep within the limits.
	Evicted uint64
	// Healed were read from /proc because a record mentioned them; HealMissed were gone by
	// then, HealRefused were not looked up because there were too many at once.
	Healed, HealMissed, HealRefused uint64
}

// Table holds the processes by id. Apply and all that reads processes must be called from
// one goroutine; Stats may be called from any.
type Table struct {
	opt    Options
	fs     *procfs
	procs  map[int32]*Process
	head   Process // of the ring of processes, the one with the latest record first
	exits  []exit
	now    uint64
	bytes  int
	budget float64
	filled uint64 // when budget was last filled
	// restored says that the processes are not of this machine, see NewRestored.
	restored bool
	buf      []byte

	size, memory, evicted, healed, missed, refused atomic.Uint64
}

type exit struct {
	p    *Process
	time uint64
}

// NewTable returns an empty table. Seed fills it.
func NewTable(opt Options) *Table {
	if opt.Limit <= 0 {
		opt.Limit = 32768
	}
	if opt.Bytes <= 0 {
		opt.Bytes = 64 << 20
	}
	if opt.Grace <= 0 {
		opt.Grace = 5 * time.Second
	}
	if opt.Proc == "" {
		opt.Proc = "/proc"
	}
	if opt.HealRate <= 0 {
		opt.HealRate = 200
	}
	if opt.BootTime == 0 {
		opt.BootTime = bootTime()
	}
	t := &Table{
		opt: opt, fs: newProcfs(opt.Proc, opt.BootTime),
		procs: make(map[int32]*Process), budget: float64(opt.HealRate),
	}
	t.head.prev, t.head.next = &t.head, &t.head
	return t
}

// Seed reads the processes that are running, at most as many as the table's limit. Call it
// once the probe is attached and before its records are applied, so that no process is
// missed. An error means that /proc cannot be listed.
func (t *Table) Seed() error {
	pids, err := t.fs.pids()
	if err != nil {
		return fmt.Errorf("read the running processes: %w", err)
	}
	pids = slices.DeleteFunc(pids, func(pid int32) bool { return t.procs[pid] != nil })
	pids = pids[:min(len(pids), max(0, t.opt.Limit-len(t.procs)))]
	for _, p := range t.readAll(pids) {
		if p != nil {
			t.insert(p)
		}
	}
	t.seedPidns()
	return nil
}

// maxReaders is how many threads read /proc at the start: the kernel does most of the work,
// and a start that takes all of a large machine helps nobody.
const maxReaders = 4

// readAll reads processes at once; nil stands for one that is gone.
func (t *Table) readAll(pids []int32) []*Process {
	found := make([]*Process, len(pids))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(maxReaders, runtime.GOMAXPROCS(0)) {
		readers.Go(func() {
			fs, scratch := newProcfs(t.opt.Proc, t.opt.BootTime), []byte(nil)
			for i := int(next.Add(1)) - 1; i < len(pids); i = int(next.Add(1)) - 1 {
				found[i], scratch, _ = fs.process(pids[i], t.opt.Env, scratch)
			}
		})
	}
	readers.Wait()
	return found
}

// seedPidns tells the processes of a container when the first one of its pid namespace
// started.
func (t *Table) seedPidns() {
	first := make(map[container.ID]uint64)
	for _, p := range t.procs {
		if p.VPID == 1 {
			first[p.Container] = p.StartTime
		}
	}
	for _, p := range t.procs {
		if p.PidnsStart == 0 {
			p.PidnsStart = first[p.Container]
		}
	}
}

// KeepEnv says whether environments are kept from now on, as when other rules are loaded.
func (t *Table) KeepEnv(on bool) { t.opt.Env = on }

// Kinds are the records that the table needs, besides those that rules ask for.
func Kinds() []probe.Kind {
	return []probe.Kind{
		probe.KindExecve, probe.KindExecveat, probe.KindFork, probe.KindProcexit,
		probe.KindChdir, probe.KindFchdir, probe.KindSetsid,
	}
}

// Apply takes a record into account and returns the process that it belongs to, of a fork
// the parent. It never returns nil and keeps nothing of the record's memory.
func (t *Table) Apply(rec *probe.Record) *Process {
	t.now = max(t.now, rec.Time)
	t.bury()
	p := t.resolve(rec)
	switch rec.Kind {
	case probe.KindFork:
		if rec.Fork != nil {
			t.fork(p, rec)
		}
	case probe.KindExecve, probe.KindExecveat:
		if rec.Exec != nil && rec.Ret >= 0 {
			t.exec(p, rec)
		}
	case probe.KindProcexit:
		if p.exited == 0 {
			t.exit(p, rec.Time)
		}
	case probe.KindChdir, probe.KindFchdir:
		if rec.Ret >= 0 {
			p.chdir(rec)
		}
	case probe.KindSetsid:
		if rec.Ret >= 0 {
			p.SID, p.VSID = p.PID, p.VPID
		}
	}
	return p
}

// chdir takes over the new working directory: the kernel's name of it, or where that is too
// deep what can be told from the argument.
func (p *Process) chdir(rec *probe.Record) {
	switch {
	case rec.File.Path != "":
		p.setCwd(rec.File.Path)
	case rec.PathValid && strings.HasPrefix(rec.Path, "/"):
		p.setCwd(path.Clean(rec.Path))
	case rec.PathValid && p.Cwd != "":
		p.setCwd(path.Clean(p.Cwd + rec.Path))
	default:
		p.Cwd = ""
	}
}

// Lookup returns the process with the given id, nil if it is not known. It does not read
// /proc.
func (t *Table) Lookup(pid int32) *Process { return t.procs[pid] }

// VTID returns the id of a thread in its own pid namespace; false if it is unknown. For a
// thread in a container that is not its process's first one it reads /proc.
func (t *Table) VTID(p *Process, tid int32) (int32, bool) {
	switch {
	case p.HostPidns:
		return tid, true
	case p.PID == tid:
		return p.VPID, p.VPID != 0
	case !t.spend():
		return 0, false
	}
	return t.fs.vtid(p.PID, tid)
}

// Descriptor returns what the kernel shows for a descriptor of p, such as /dev/null or
// socket:[7]; false if it cannot be had. It reads /proc.
func (t *Table) Descriptor(p *Process, fd int) (string, bool) {
	if fd < 0 || p.exited != 0 || !t.spend() {
		return "", false
	}
	return t.fs.descriptor(p.PID, strconv.Itoa(fd))
}

// maxDescriptors bounds Descriptors.
const maxDescriptors = 256

// Descriptors yields what the kernel shows for the descriptors of p, at most 256 of them.
// It reads /proc.
func (t *Table) Descriptors(p *Process) iter.Seq[string] {
	return func(yield func(string) bool) {
		if p.exited != 0 || !t.spend() {
			return
		}
		for _, fd := range t.fs.descriptors(p.PID, maxDescriptors) {
			if link, ok := t.fs.descriptor(p.PID, fd); ok && !yield(link) {
				return
			}
		}
	}
}

// Stats returns the counts.
func (t *Table) Stats() Stats {
	return Stats{
		Processes: t.size.Load(), Bytes: t.memory.Load(), Evicted: t.evicted.Load(),
		Healed: t.healed.Load(), HealMissed: t.missed.Load(), HealRefused: t.refused.Load(),
	}
}

// resolve finds the record's process, reads it from /proc, or makes one from the record.
func (t *Table) resolve(rec *probe.Record) *Process {
	// An exec tells all there is to know, and at its end a process has left /proc.
	useful := rec.Kind != probe.KindProcexit && (rec.Exec == nil || rec.Ret < 0)
	p := t.procs[rec.PID]
	if p == nil {
		if useful {
			if healed := t.heal(rec.PID); healed != nil {
				healed.ExecID = rec.ExecID
				return healed
			}
		}
		p = placeholder(rec)
		p.retryAt = t.now + retryAfter
		t.insert(p)
		return p
	}
	t.touch(p)
	if rec.ExecID != p.ExecID && useful && !p.partial && !p.sawExec(rec.ExecID) {
		p.partial, p.retryAt = true, 0
	}
	if p.partial && useful && t.now >= p.retryAt {
		if healed := t.heal(rec.PID); healed != nil {
			healed.ExecID = rec.ExecID
			return healed
		}
		p.retryAt = t.now + retryAfter
	}
	return p
}

// sawExec takes over the id of a record's program if p has none yet. It is false if the
// record is about another program than the table knows: the exec of that one was lost.
func (p *Process) sawExec(id uint64) bool {
	if p.ExecID != 0 && id != 0 {
		return false
	}
	p.ExecID = max(p.ExecID, id)
	return true
}

// heal reads a process from /proc into the table, nil if it cannot be had now.
func (t *Table) heal(pid int32) *Process {
	if pid <= 0 || !t.spend() {
		return nil
	}
	p, buf, err := t.fs.process(pid, t.opt.Env, t.buf)
	t.buf = buf
	if err != nil {
		t.missed.Add(1)
		return nil
	}
	t.healed.Add(1)
	t.insert(p)
	switch {
	case p.VPID == 1:
		p.PidnsStart = p.StartTime
	default:
		if parent := t.procs[p.PPID]; parent != nil && parent.Container == p.Container {
			p.PidnsStart = parent.PidnsStart
		}
	}
	return p
}

// spend takes one from the budget for reading /proc, which fills with the records' time.
func (t *Table) spend() bool {
	rate := float64(t.opt.HealRate)
	t.budget = min(rate, t.budget+float64(t.now-t.filled)/float64(time.Second)*rate)
	t.filled = t.now
	if t.budget < 1 {
		t.refused.Add(1)
		return false
	}
	t.budget--
	return true
}

// fork adds the child with all that it shares with its parent. A thread adds nothing.
func (t *Table) fork(parent *Process, rec *probe.Record) {
	f := rec.Fork
	if f.ChildPID <= 0 || f.ChildTID != f.ChildPID || f.ChildPID == parent.PID {
		return
	}
	child := &Process{
		PID: f.ChildPID, PPID: parent.PID, UID: rec.UID, GID: rec.GID,
		Comm: parent.Comm, Cwd: parent.Cwd, Cgroup: parent.Cgroup, Container: parent.Container,
		Image: parent.Image, cmdline: parent.cmdline, partial: parent.partial, ExecID: f.ExecID,
	}
	if f.Comm != "" && f.Comm != child.Comm {
		child.Comm, child.cmdline = strings.Clone(f.Comm), ""
	}
	child.setFacts(&f.Facts)
	if child.PPID == 0 {
		child.PPID = parent.PID
	}
	if child.StartTime == 0 {
		child.StartTime = rec.Time
	}
	child.setCgroup(f.Cgroup)
	t.insert(child)
}

// exec gives the process its new program.
func (t *Table) exec(p *Process, rec *probe.Record) {
	var im *Image
	im, t.buf = newExecImage(rec, t.opt.Env, t.buf)
	t.release(p.Image)
	p.Image = im
	t.retain(im)
	p.Comm, p.cmdline = im.comm, ""
	p.UID, p.GID = rec.UID, rec.GID
	p.ExecTime, p.ExecID = rec.Time, rec.ExecID
	p.exited, p.partial, p.retryAt = 0, false, 0
	p.setFacts(&rec.Exec.Facts)
	p.setCgroup(rec.Exec.Cgroup)
	p.setCwd(rec.Exec.Cwd)
	t.fit(p)
}

// exit notes the end of p. The notes are limited: a process whose note had to go stays until
// others need its place.
func (t *Table) exit(p *Process, at uint64) {
	if len(t.exits) >= 2*t.opt.Limit {
		t.popExit()
	}
	p.exited = max(at, 1)
	t.exits = append(t.exits, exit{p, p.exited})
}

// insert adds p in place of any other process with its id and makes room for it.
func (t *Table) insert(p *Process) {
	if old := t.procs[p.PID]; old != nil {
		t.remove(old)
	}
	t.procs[p.PID] = p
	t.retain(p.Image)
	p.link(&t.head)
	t.size.Store(uint64(len(t.procs)))
	t.fit(p)
}

// remove drops p. Its entry among the exits is skipped when its turn comes.
func (t *Table) remove(p *Process) {
	if t.procs[p.PID] == p {
		delete(t.procs, p.PID)
	}
	p.unlink()
	t.release(p.Image)
	t.size.Store(uint64(len(t.procs)))
}

// fit drops processes until the table is within its limits again: first those that have
// ended, then those without a record for longest. It never drops keep.
func (t *Table) fit(keep *Process) {
	for len(t.procs) > t.opt.Limit || t.bytes > t.opt.Bytes {
		victim := t.oldestExit(keep)
		if victim == nil {
			victim = t.head.prev
		}
		if victim == keep {
			victim = victim.prev
		}
		if victim == &t.head {
			return
		}
		t.evicted.Add(1)
		t.remove(victim)
	}
}

// oldestExit takes the process that ended first off the exits.
func (t *Table) oldestExit(keep *Process) *Process {
	for len(t.exits) > 0 {
		e := t.exits[0]
		if e.p == keep {
			return nil
		}
		t.popExit()
		if t.ended(e) {
			return e.p
		}
	}
	return nil
}

// bury drops the processes that ended longer than the grace ago.
func (t *Table) bury() {
	for len(t.exits) > 0 {
		e := t.exits[0]
		if e.time+uint64(t.opt.Grace) > t.now {
			return
		}
		t.popExit()
		if t.ended(e) {
			t.remove(e.p)
		}
	}
}

func (t *Table) popExit() {
	t.exits[0] = exit{}
	t.exits = t.exits[1:]
	if len(t.exits) == 0 {
		t.exits = nil
	}
}

// ended says that e still tells of a process in the table: it was neither dropped meanwhile
// nor found to be running.
func (t *Table) ended(e exit) bool {
	return t.procs[e.p.PID] == e.p && e.p.exited == e.time
}

// touch moves p to the front of those to keep.
func (t *Table) touch(p *Process) {
	if t.head.next != p {
		p.unlink()
		p.link(&t.head)
	}
}

func (p *Process) link(head *Process) {
	p.prev, p.next = head, head.next
	p.next.prev = p
	head.next = p
}

func (p *Process) unlink() {
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
}

func (t *Table) retain(im *Image) {
	if im == unknown {
		return
	}
	if im.refs == 0 {
		t.bytes += im.size()
		t.memory.Store(uint64(t.bytes))
	}
	im.refs++
}

func (t *Table) release(im *Image) {
	if im == unknown {
		return
	}
	if im.refs--; im.refs == 0 {
		t.bytes -= im.size()
		t.memory.Store(uint64(t.bytes))
	}
}
