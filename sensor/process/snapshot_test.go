package process_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/process"
)

func TestARestoredProcessIsTheOneOfTheSnapshot(t *testing.T) {
	live := process.NewTable(process.Options{Env: true})
	if err := live.Seed(); err != nil {
		t.Fatal(err)
	}
	self := live.Lookup(int32(os.Getpid()))
	if self == nil {
		t.Fatal("this process is not in the table")
	}
	restored := process.NewRestored(process.Options{Env: true})
	for p := range live.All() {
		raw, err := json.Marshal(p.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		var s process.Snapshot
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		restored.Restore(s)
	}
	again := restored.Lookup(self.PID)
	if diff := cmp.Diff(self.Snapshot(), again.Snapshot()); diff != "" {
		t.Errorf("the process differs (-live +restored):\n%s", diff)
	}
	if self.Cmdline() != again.Cmdline() || self.Image.Exeline != again.Image.Exeline || self.Container != again.Container || self.Image.RawEnv() == "" {
		t.Errorf("cmdline %q and %q", self.Cmdline(), again.Cmdline())
	}
}

func TestAnOrphanOfARestoredTableBelongsToTheFirstProcess(t *testing.T) {
	table := process.NewRestored(process.Options{})
	program := &process.Program{Argv: []byte("x\x00"), Name: []byte("x")}
	for _, s := range []process.Snapshot{
		{PID: 1, HostPidns: true, Comm: []byte("init"), Program: program},
		{PID: 7, PPID: 99, HostPidns: true, Comm: []byte("orphan"), Program: program},
		{PID: 20, VPID: 1, Cgroup: []byte("/docker/" + containerID), Program: program},
		{PID: 21, VPID: 5, PPID: 98, Cgroup: []byte("/docker/" + containerID), Program: program},
	} {
		table.Restore(s)
	}
	for child, want := range map[int32]int32{7: 1, 21: 20} {
		if parent := table.Parent(table.Lookup(child)); parent == nil || parent.PID != want {
			t.Errorf("the parent of %d is %+v, want %d", child, parent, want)
		}
	}
	if parent := table.Parent(table.Lookup(1)); parent != nil {
		t.Errorf("the first process has the parent %d", parent.PID)
	}
}

const containerID = "abababababababababababababababababababababababababababababababab"

func TestRestoredAccountsAreNotThoseOfThisMachine(t *testing.T) {
	users := process.NewRestoredUsers()
	if name := users.User(nil, 1).Name; name != process.Unnamed {
		t.Errorf("user 1 is %q", name)
	}
	inside := container.FromCgroup("/docker/" + containerID)
	users.Restore(container.ID{}, process.Accounts{Users: map[uint32]process.User{5: {Name: "host-eve"}}})
	users.Restore(inside, process.Accounts{Users: map[uint32]process.User{5: {Name: "eve"}}, Groups: map[uint32]string{6: "staff"}})
	if name := users.User(nil, 5).Name; name != "host-eve" {
		t.Errorf("on the host user 5 is %q", name)
	}
	p := &process.Process{Container: inside}
	if name, group := users.User(p, 5).Name, users.Group(p, 6); name != "eve" || group != "staff" {
		t.Errorf("in the container user 5 is %q, group 6 %q", name, group)
	}
	if got := users.Accounts(p); len(got.Users) != 1 || len(got.Groups) != 1 {
		t.Errorf("the accounts are %+v", got)
	}
}
