package embedded

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

const childVariable = "SAKER_JOURNAL_TEST_CHILD"

func childDir() string { return os.Getenv(childVariable) }

// childMain is the process that a test kills: it appends without end, acknowledges two
// of three events, and says on its standard output what has succeeded.
func childMain(dir string) {
	ctx := context.Background()
	j, err := Open(ctx, dir, journal.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	c, err := j.consumer("out", event.None)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.WriteString(line + "\n")
	}
	go func() {
		for {
			ds, err := c.Fetch(ctx, 10, 0, time.Second)
			if err != nil {
				panic(err)
			}
			for i, d := range ds {
				if i%3 == 2 {
					continue
				}
				say("acknowledged " + d.Event.UUID)
				if err := d.Ack(); err != nil {
					panic(err)
				}
			}
		}
	}()
	for i := 0; ; i++ {
		batch := make([]event.Event, i%7+1)
		for k := range batch {
			batch[k] = sample(i, event.Warning)
		}
		if err := j.Append(ctx, batch); err != nil {
			panic(err)
		}
		for _, e := range batch {
			say("stored " + e.UUID)
		}
	}
}

func TestAfterAKillEveryStoredEventIsThereAndTheConsumerGoesOn(t *testing.T) {
	dir := t.TempDir()
	stored, acknowledged := map[string]bool{}, map[string]bool{}
	for round := range 3 {
		runChild(t, dir, 500*(round+1), stored, acknowledged)
	}
	j := open(t, dir)
	all, err := j.Recent(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]bool{}
	for _, e := range all {
		if present[e.Event.UUID] {
			t.Errorf("event %s is there twice", e.Event.UUID)
		}
		present[e.Event.UUID] = true
	}
	for id := range stored {
		if !present[id] {
			t.Errorf("event %s was stored and is gone", id)
		}
	}
	c := consumer(t, j, "out", event.None)
	lag, err := c.Lag(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delivered := map[string]bool{}
	for _, d := range fetch(t, c, int(lag.Pending)-lag.InFlight) {
		delivered[d.Event.UUID] = true
	}
	t.Logf("%d stored, %d acknowledged, %d pending, %d of them under way", len(stored), len(acknowledged), lag.Pending, lag.InFlight)
	missing := 0
	for id := range stored {
		if !acknowledged[id] && !delivered[id] {
			missing++
		}
	}
	if missing > lag.InFlight {
		t.Errorf("%d events were neither acknowledged nor come again", missing-lag.InFlight)
	}
	if lag.Lost != 0 {
		t.Errorf("lost = %d", lag.Lost)
	}
}

// runChild runs childMain until it has stored n events, and kills it.
func runChild(t *testing.T, dir string, n int, stored, acknowledged map[string]bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "stored":
			stored[id] = true
			n--
		case "acknowledged":
			acknowledged[id] = true
		}
		if n <= 0 && !killed {
			killed = true
			if err := child.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	if !killed {
		t.Fatalf("the child ended by itself: %s", stderr.String())
	}
}

func TestADamagedEndIsCutOffAndTheRestStays(t *testing.T) {
	source := t.TempDir()
	j := open(t, source)
	closeConsumer(t, consumer(t, j, "out", event.None))
	for _, e := range samples(20) {
		mustAppend(t, j, e)
	}
	closeJournal(t, j)
	block := onlyBlock(t, source)
	whole, err := os.ReadFile(filepath.Join(source, block))
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole) / 20
	damage := map[string][]byte{
		"garbage behind the end":       append(bytes.Clone(whole), "\x00\xffgarbage that is no record"...),
		"zeros behind the end":         append(bytes.Clone(whole), make([]byte, 5000)...),
		"half a record behind the end": append(bytes.Clone(whole), whole[:size/2]...),
	}
	for _, cut := range []int{1, 7, size / 2, size - 1, size, size + 1, 5*size + 3} {
		damage[fmt.Sprintf("%d bytes cut off", cut)] = whole[:len(whole)-cut]
	}
	for name, data := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, block), data, 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir)
			all, err := j.Recent(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			want := min(20, len(data)/size)
			if len(all) < want-1 || len(all) > want {
				t.Errorf("%d events are left, want about %d", len(all), want)
			}
			for i, e := range all {
				if e.Event.Output != fmt.Sprintf("event %d", i) {
					t.Errorf("event %d is %q", i, e.Event.Output)
				}
			}
			c := consumer(t, j, "out", event.None)
			mustAppend(t, j, sample(99, event.Warning))
			got := texts(fetch(t, c, len(all)+1))
			if got[len(all)] != "event 99" {
				t.Errorf("the new event is %q", got[len(all)])
			}
		})
	}
}

// onlyBlock returns the path, below dir, of the one file that holds the events.
func onlyBlock(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", logStream, "msgs", "*.blk"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the blocks are %q, %v", found, err)
	}
	rel, err := filepath.Rel(dir, found[0])
	if err != nil {
		t.Fatal(err)
	}
	return rel
}
