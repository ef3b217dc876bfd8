package embedded

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

func TestARecordThatIsCutAnywhereLeavesTheOneBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	s, err := createSlots(path, []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write([]byte("second")); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, half := range []int{0, slotBytes} {
		if bytes.Equal(before[half:half+slotBytes], after[half:half+slotBytes]) {
			continue
		}
		for cut := range slotHeader + len("second") {
			torn := slices.Clone(before)
			copy(torn[half:half+cut], after[half:half+cut])
			if _, record := newestRecord(torn); string(record) != "first" {
				t.Errorf("cut after %d bytes: the record is %q", cut, record)
			}
		}
	}
	if _, record := newestRecord(after); string(record) != "second" {
		t.Errorf("the record is %q", record)
	}
}

func TestTheNewestRecordIsReadAfterManyWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	s, err := createSlots(path, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 101 {
		if err := s.write([]byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s, record, err := openSlots(path)
	if err != nil || string(record) != "100" {
		t.Fatalf("the record is %q, %v", record, err)
	}
	if err := s.write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s, record, err = openSlots(path); err != nil || string(record) != "more" {
		t.Fatalf("the record is %q, %v", record, err)
	}
	_ = s.close()
}

func TestADamagedCursorStartsFromTheOldestEventAndLosesNothing(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty": nil, "garbage": bytes.Repeat([]byte("garbage"), 1000), "zeros": make([]byte, 2*slotBytes),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir)
			c := consumer(t, j, "out", event.None)
			mustAppend(t, j, samples(5)...)
			ack(t, fetch(t, c, 3))
			closeConsumer(t, c)
			closeJournal(t, j)
			file := filepath.Join(dir, cursorsFolder, "out"+cursorSuffix)
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			cfg := journal.DefaultConfig()
			cfg.MinFree = 0
			j, err := Open(t.Context(), dir, cfg, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer closeJournal(t, j)
			if j.CursorsReset() != 1 || !bytes.Contains(log.Bytes(), []byte("a cursor cannot be read")) {
				t.Errorf("%d cursors are counted, and the log says %s", j.CursorsReset(), &log)
			}
			c = consumer(t, j, "out", event.None)
			if lag, err := c.Lag(t.Context()); err != nil || lag.Pending != 5 || lag.Lost != 0 {
				t.Errorf("lag is %+v, %v", lag, err)
			}
			ack(t, fetch(t, c, 5))
			nothingLeft(t, c)
			closeConsumer(t, c)
		})
	}
}

func TestADamagedHeadFileIsMadeUpForByTheEvents(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustAppend(t, j, samples(5)...)
	closeJournal(t, j)
	if err := os.WriteFile(filepath.Join(dir, headFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	mustAppend(t, j, sample(5, event.Error))
	all, err := j.Recent(t.Context(), 1)
	if err != nil || all[0].Sequence != 6 {
		t.Errorf("recent = %+v, %v", all, err)
	}
}

// exampleCursor has all that a record can hold.
func exampleCursor() *cursor {
	c := &cursor{position: position{read: 900, message: 77}, handed: 850, used: time.Unix(1700000000, 0)}
	for i := range c.counts {
		c.counts[i] = uint64(i * 1000)
	}
	c.spans = []span{{901, 905}, {1000, 1000}}
	for _, n := range []uint64{5, 6, 700, 899} {
		c.entries = append(c.entries, entry{sequence: n, class: uint8(n % 11), state: inHand, attempts: 1})
	}
	c.entries[1].state, c.live = done, 3
	return c
}

func TestACursorsRecordHoldsItsPlaceAndWhatIsUnderWay(t *testing.T) {
	c := exampleCursor()
	var got cursor
	if err := got.decode(c.encode(nil)); err != nil {
		t.Fatal(err)
	}
	var open []uint64
	for _, e := range got.entries {
		open = append(open, e.sequence)
		if e.class != uint8(e.sequence%11) || e.state != waiting {
			t.Errorf("entry %+v", e)
		}
	}
	if got.position != c.position || got.handed != c.handed || !got.used.Equal(c.used) ||
		!slices.Equal(got.spans, c.spans) || !slices.Equal(open, []uint64{5, 700, 899}) || got.live != 3 || got.waits != 3 {
		t.Errorf("read back: %+v, entries %d", got.position, open)
	}
}

func TestWhatFindsNoRoomInACursorsRecordIsUnread(t *testing.T) {
	c := &cursor{position: position{read: 1 << 40, message: 7}, handed: 1 << 40}
	for i := range maxOpen {
		c.entries = append(c.entries, entry{sequence: uint64(i+1) << 20, class: 4, state: inHand})
	}
	c.live = len(c.entries)
	record := c.encode(nil)
	if len(record) > maxRecord {
		t.Fatalf("the record has %d bytes", len(record))
	}
	var got cursor
	if err := got.decode(record); err != nil {
		t.Fatal(err)
	}
	last := got.entries[len(got.entries)-1].sequence
	if got.read != last || last >= c.read || len(got.entries) < 10000 || got.handed != c.handed {
		t.Errorf("%d entries up to %d are left, and it has read up to %d", len(got.entries), last, got.read)
	}
}

func FuzzCursorRecord(f *testing.F) {
	f.Add(exampleCursor().encode(nil))
	f.Add((&cursor{}).encode(nil))
	f.Fuzz(func(t *testing.T, record []byte) {
		var c cursor
		if c.decode(record) != nil {
			return
		}
		var again cursor
		if err := again.decode(c.encode(nil)); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if again.position != c.position || again.handed != c.handed || len(again.entries) != len(c.entries) ||
			!cmp.Equal(again.spans, c.spans, cmp.AllowUnexported(span{})) {
			t.Error("what was read is another cursor when it is read again")
		}
	})
}

func FuzzSlots(f *testing.F) {
	f.Add([]byte("x"), []byte("record"))
	f.Add(make([]byte, 2*slotBytes), []byte{})
	f.Fuzz(func(t *testing.T, file, record []byte) {
		if _, r := newestRecord(file); len(r) > len(file) {
			t.Errorf("a record of %d bytes in a file of %d", len(r), len(file))
		}
		if _, _, err := decodeHead(record); err == nil && len(record) == 0 {
			t.Error("nothing is a head")
		}
	})
}
