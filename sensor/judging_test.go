package sensor

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
)

// toldProbe notes what it is told.
type toldProbe struct {
	told    []string
	refuses error
}

func (p *toldProbe) SetInterest(in probe.Interest) error {
	p.told = append(p.told, fmt.Sprintf("%d clauses", len(in.Clauses)))
	return p.refuses
}

func (p *toldProbe) Judge(pid int32, start, execID, cannot uint64) error {
	p.told = append(p.told, fmt.Sprintf("%d %d %d: %b", pid, start, execID, cannot))
	return nil
}

// judgedRules need opens of processes called ssh only, which is their second clause.
func judgedRules(t *testing.T) (probe.Interest, *interest.Judge) {
	t.Helper()
	const content = "- {rule: R, desc: d, condition: evt.type = openat and proc.name = ssh, output: o, priority: NOTICE}\n"
	rs, _, err := rules.Load([]rules.File{{Name: "r.yaml", Content: []byte(content)}},
		map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return interest.From(rs)
}

// executed lets a process execute a program.
func executed(source *syscalls.Source, pid int32, name string, execID uint64) {
	source.Event(&probe.Record{
		Kind: probe.KindExecve, PID: pid, TID: pid, Start: 5, ExecID: execID, Comm: name, Time: 1,
		Exec: &probe.Exec{Argv: []byte(name + "\x00"), ExePath: "/bin/" + name},
	})
}

func opens(source *syscalls.Source, j *judging, pid int32, execID uint64, times int) {
	for range times {
		j.note(source.Event(&probe.Record{
			Kind: probe.KindOpenat, PID: pid, TID: pid, Start: 5, ExecID: execID, Time: 2, Path: "/x", PathValid: true,
		}))
	}
}

const (
	quietPID  = 4000001
	otherPID  = 4000002
	unseenPID = 4000003
)

func TestAProcessIsJudgedOnceForEachOfItsPrograms(t *testing.T) {
	in, judge := judgedRules(t)
	p := &toldProbe{}
	j := newJudging(p)
	if err := j.change(in, judge); err != nil {
		t.Fatal(err)
	}
	p.told = nil
	source := syscalls.New(syscalls.Options{})
	executed(source, quietPID, "cat", 1)
	executed(source, otherPID, "ssh", 7)
	opens(source, j, quietPID, 1, defaultPatience-1)
	if len(p.told) != 0 {
		t.Errorf("a process is judged too soon: %q", p.told)
	}
	opens(source, j, quietPID, 1, 100)
	opens(source, j, otherPID, 7, 100)
	opens(source, j, unseenPID, 3, 100)
	executed(source, quietPID, "cp", 2)
	opens(source, j, quietPID, 2, 100)
	if want := []string{"4000001 5 1: 10", "4000001 5 2: 10"}; !slices.Equal(p.told, want) {
		t.Errorf("the probe is told %q, want %q", p.told, want)
	}
}

func TestAVerdictIsGivenAgainForTheProbeForgets(t *testing.T) {
	in, judge := judgedRules(t)
	p := &toldProbe{}
	j := newJudging(p)
	if err := j.change(in, judge); err != nil {
		t.Fatal(err)
	}
	p.told = nil
	source := syscalls.New(syscalls.Options{})
	executed(source, quietPID, "cat", 1)
	opens(source, j, quietPID, 1, defaultPatience+2*again+10)
	if len(p.told) != 3 {
		t.Errorf("the probe is told %d times, want 3", len(p.told))
	}
}

func TestAProgramThatTheTableHasMissedIsNotJudged(t *testing.T) {
	in, judge := judgedRules(t)
	p := &toldProbe{}
	j := newJudging(p)
	if err := j.change(in, judge); err != nil {
		t.Fatal(err)
	}
	p.told = nil
	source := syscalls.New(syscalls.Options{})
	executed(source, quietPID, "cat", 1)
	// Its exec was lost, and /proc does not have it.
	opens(source, j, quietPID, 2, 100)
	if len(p.told) != 0 {
		t.Errorf("the probe is told %q, want nothing", p.told)
	}
}

func TestThereIsNoVerdictWithoutTheInterestThatItIsAbout(t *testing.T) {
	in, judge := judgedRules(t)
	p := &toldProbe{}
	j := newJudging(p)
	source := syscalls.New(syscalls.Options{})
	executed(source, quietPID, "cat", 1)
	opens(source, j, quietPID, 1, 100) // before the first interest
	if err := j.change(in, judge); err != nil {
		t.Fatal(err)
	}
	opens(source, j, quietPID, 1, 100)
	if err := j.change(in, nil); err != nil {
		t.Fatal(err)
	}
	executed(source, otherPID, "cat", 1)
	opens(source, j, otherPID, 1, 100) // while no verdict is wanted
	other, another := judgedRules(t)
	if err := j.change(other, another); err != nil {
		t.Fatal(err)
	}
	opens(source, j, quietPID, 1, 100) // the probe has forgotten it
	p.refuses = errors.New("no room")
	if err := j.change(in, judge); !errors.Is(err, p.refuses) {
		t.Errorf("got the error %v", err)
	}
	opens(source, j, otherPID, 1, 100)
	clauses := fmt.Sprintf("%d clauses", len(in.Clauses))
	want := []string{clauses, "4000001 5 1: 10", clauses, clauses, "4000001 5 1: 10", clauses}
	if !slices.Equal(p.told, want) {
		t.Errorf("the probe is told %q, want %q", p.told, want)
	}
}

func TestNotingAnEventDoesNotAllocate(t *testing.T) {
	in, judge := judgedRules(t)
	j := newJudging(&toldProbe{})
	if err := j.change(in, judge); err != nil {
		t.Fatal(err)
	}
	source := syscalls.New(syscalls.Options{})
	executed(source, otherPID, "ssh", 7)
	ev := source.Event(&probe.Record{Kind: probe.KindOpenat, PID: otherPID, TID: otherPID, Start: 5, ExecID: 7, Time: 2, Path: "/x", PathValid: true})
	if n := testing.AllocsPerRun(2000, func() { j.note(ev) }); n != 0 {
		t.Errorf("it allocates %v times an event", n)
	}
}
