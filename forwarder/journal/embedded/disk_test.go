package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// smallDisk mounts a file system of its own for the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, unix.EPERM) {
		t.Skip("mounting a small disk needs root")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file that leaves free bytes on the disk.
func fill(t *testing.T, dir string, free int64) string {
	t.Helper()
	has, err := freeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "fill")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, has-free); err != nil {
		t.Fatal(err)
	}
	return name
}

// eventually tries until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("%s doesn't happen", what)
		case <-tick.C:
		}
	}
}

func TestANearlyFullDiskRefusesAppendsAndStillDelivers(t *testing.T) {
	dir := smallDisk(t, "96m")
	j := open(t, filepath.Join(dir, "journal"), func(c *journal.Config) { c.MinFree = 32 << 20 })
	c := consumer(t, j, "out", event.None)
	mustAppend(t, j, samples(10)...)
	full := fill(t, dir, 16<<20)
	eventually(t, "a refusal", func() bool { return errors.Is(j.Append(t.Context(), samples(1)), journal.ErrFull) })
	if err := j.Ready(); !errors.Is(err, journal.ErrFull) {
		t.Errorf("ready = %v, want ErrFull", err)
	}
	ack(t, fetch(t, c, 10))
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an append", func() bool { return j.Append(t.Context(), samples(1)) == nil })
	if err := j.Ready(); err != nil {
		t.Errorf("ready = %v", err)
	}
}

func TestAFullDiskIsLoggedOnceAndSoIsItsEnd(t *testing.T) {
	var log bytes.Buffer
	g := diskGuard{dir: t.TempDir(), reserve: math.MaxInt64, log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	for range 5 {
		now = now.Add(diskCheckInterval)
		if err := g.check(now); !errors.Is(err, journal.ErrFull) {
			t.Fatalf("check = %v", err)
		}
	}
	g.reserve = 0
	for range 5 {
		now = now.Add(diskCheckInterval)
		if err := g.check(now); err != nil {
			t.Fatalf("check = %v", err)
		}
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "room again") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
	// A disk on the brink is no news within a minute, and news after it.
	g.reserve = math.MaxInt64
	if g.check(now.Add(diskCheckInterval)); strings.Count(log.String(), "level=ERROR") != 1 {
		t.Error("the log is told again at once")
	}
	if g.check(now.Add(2 * diskLogInterval)); strings.Count(log.String(), "level=ERROR") != 2 {
		t.Error("the log is not told a minute later")
	}
}

func TestAFullDiskIsSurvivedWithoutLosingWhatWasStored(t *testing.T) {
	dir := smallDisk(t, "64m")
	j := open(t, filepath.Join(dir, "journal"))
	c := consumer(t, j, "out", event.None)
	stored := map[string]bool{}
	try := func() error {
		e := sample(len(stored), event.Warning)
		e.Fields = append(e.Fields, event.Field{Name: "zzz", Value: event.StringValue(string(make([]byte, 64<<10)))})
		err := j.Append(t.Context(), []event.Event{e})
		if err == nil {
			stored[e.UUID] = true
		}
		return err
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	full := fill(t, dir, 4<<20)
	eventually(t, "the end of the space", func() bool {
		err := try()
		if err != nil && !errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("append = %v", err)
		}
		return err != nil
	})
	if j.Ready() == nil {
		t.Error("ready although nothing can be stored")
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an append", func() bool { return try() == nil })
	got := map[string]bool{}
	for _, d := range fetch(t, c, len(stored)) {
		got[d.Event.UUID] = true
		ack(t, []journal.Delivery{d})
	}
	for id := range stored {
		if !got[id] {
			t.Errorf("event %s was stored and didn't come", id)
		}
	}
	closeConsumer(t, c)
}

func TestAFolderThatCannotBeWrittenIsAnErrorThatNamesIt(t *testing.T) {
	dir := smallDisk(t, "16m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), filepath.Join(dir, "journal"), journal.DefaultConfig(), nil)
	if !errors.Is(err, unix.EROFS) {
		t.Errorf("open = %v, want a read-only file system", err)
	}
}
