package sensor

import (
	"sync"
	"sync/atomic"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
)

// judging tells the probe for which processes some of its clauses need not be asked, so that
// their calls end in the kernel from then on. A process is judged after a few of its events
// have reached the rules, once for each program that it executes.
type judging struct {
	probe verdicts
	// patience is how many events of a program are looked at before it is judged: most
	// processes end sooner.
	patience uint16

	// changing is held while a verdict is given and while the interest changes: the bits of a
	// verdict are those of one interest.
	changing sync.Mutex
	judge    atomic.Pointer[interest.Judge]

	// seen remembers programs by process id, the latest in each place. It belongs to the
	// goroutine of the events.
	seen [seenPrograms]program
	of   *interest.Judge
}

// verdicts is the part of the probe that judging needs.
type verdicts interface {
	SetInterest(probe.Interest) error
	Judge(pid int32, start, execID, cannot uint64) error
}

const (
	seenPrograms = 4096
	// defaultPatience is well above the events of a process that runs for a moment.
	defaultPatience = 8
	// again is how many events after a verdict another one is given: the probe may have
	// forgotten the first.
	again = 4096
)

// program is one that a process executes, with the number of its events so far.
type program struct {
	pid           int32
	events        uint16
	start, execID uint64
}

func newJudging(p verdicts) *judging { return &judging{probe: p, patience: defaultPatience} }

// change has the probe report what in says. The judge is that of in; nil while there is to be
// no verdict. It may be called while events are handled.
func (j *judging) change(in probe.Interest, judge *interest.Judge) error {
	j.changing.Lock()
	defer j.changing.Unlock()
	// No verdict of the old interest may follow, and none of the new one precede it.
	j.judge.Store(nil)
	if err := j.probe.SetInterest(in); err != nil {
		return err
	}
	j.judge.Store(judge)
	return nil
}

// note takes an event into account that the rules have been held against. It is called by one
// goroutine and does not allocate.
func (j *judging) note(ev *syscalls.Event) {
	judge := j.judge.Load()
	rec := ev.Rec
	if judge == nil || !judge.Concerns(rec.Kind) {
		return
	}
	if j.of != judge {
		j.of = judge
		clear(j.seen[:])
	}
	p := &j.seen[uint32(rec.PID)%seenPrograms]
	if p.pid != rec.PID || p.execID != rec.ExecID || p.start != rec.Start {
		*p = program{pid: rec.PID, start: rec.Start, execID: rec.ExecID}
	}
	p.events++
	switch {
	case p.events == j.patience:
		j.give(judge, ev)
	case p.events >= j.patience+again:
		p.events = j.patience - 1
	}
}

// give judges the event's process. A verdict that the probe does not take costs time only.
func (j *judging) give(judge *interest.Judge, ev *syscalls.Event) {
	rec := ev.Rec
	if ev.Proc.ExecID != rec.ExecID {
		return // the table knows another program than the one that the kernel runs
	}
	cannot := judge.Cannot(ev)
	if cannot == 0 {
		return
	}
	j.changing.Lock()
	defer j.changing.Unlock()
	if j.judge.Load() == judge {
		_ = j.probe.Judge(rec.PID, rec.Start, rec.ExecID, cannot)
	}
}
