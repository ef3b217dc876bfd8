package report

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drops counts what a spool or queue gives up.
type drops map[string]uint64

func (d drops) drop(reason string, n uint64) { d[reason] += n }

func mustOpen(t testing.TB, dir string, limit int64) (*spool, drops) {
	t.Helper()
	d := drops{}
	s, err := openSpool(dir, limit, 0, d.drop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.closeFiles() })
	return s, d
}

// entries makes n entries of size bytes from place first on.
func entries(first uint64, n, size int) []entry {
	all := make([]entry, n)
	for i := range all {
		seq := first + uint64(i)
		text := fmt.Sprintf("alert %d ", seq)
		all[i] = entry{seq, []byte(text + strings.Repeat("x", max(size-len(text), 0)))}
	}
	return all
}

func mustAppend(t testing.TB, s *spool, all []entry) {
	t.Helper()
	if err := s.append(all); err != nil {
		t.Fatal(err)
	}
}

// takeAll reads and acknowledges everything.
func takeAll(s *spool) []string {
	var all []string
	for {
		batch := s.read(7, 1<<20)
		if len(batch) == 0 {
			return all
		}
		for _, e := range batch {
			all = append(all, string(e.data))
		}
		s.ack(batch[len(batch)-1].seq + 1)
	}
}

func texts(all []entry) []string {
	var out []string
	for _, e := range all {
		out = append(out, string(e.data))
	}
	return out
}

// afterCrash copies the folder as it is: what the next process finds when this one is
// killed now.
func afterCrash(t testing.TB, dir string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentExt))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const testLimit = 1 << 20

func TestTheSpoolGivesBackWhatItTookInOrder(t *testing.T) {
	dir := t.TempDir()
	s, d := mustOpen(t, dir, testLimit)
	want := entries(0, 500, 1000)
	for chunk := range slices.Chunk(want, 13) {
		mustAppend(t, s, chunk)
	}
	if n := len(segmentFiles(t, dir)); n < 5 {
		t.Errorf("500 kB are in only %d segments", n)
	}
	if diff := cmp.Diff(texts(want), takeAll(s)); diff != "" {
		t.Error(diff)
	}
	if files := segmentFiles(t, dir); len(files) > 0 || s.bytes != 0 || s.pending() != 0 || len(d) > 0 {
		t.Errorf("left over: %v, %d bytes, %d entries; dropped %v", files, s.bytes, s.pending(), d)
	}
}

func TestReadingAndWritingTakeTurns(t *testing.T) {
	s, _ := mustOpen(t, t.TempDir(), testLimit)
	var got []string
	for i := range uint64(300) {
		mustAppend(t, s, entries(i*2, 2, 700))
		for _, e := range s.read(1, 1) {
			got = append(got, string(e.data))
			s.ack(e.seq + 1)
		}
	}
	got = append(got, takeAll(s)...)
	if diff := cmp.Diff(texts(entries(0, 600, 700)), got); diff != "" {
		t.Error(diff)
	}
}

func TestAKilledProcessLosesNothingAndRepeatsOnlyWhatWasNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	all := entries(0, 200, 1000)
	mustAppend(t, s, all)
	for acked := uint64(0); acked <= 200; acked += 10 {
		s.ack(acked)
		next, d := mustOpen(t, afterCrash(t, dir), testLimit)
		if want, got := 200-acked, next.pending(); got != want {
			t.Fatalf("after %d: %d pending, want %d", acked, got, want)
		}
		mustAppend(t, next, entries(next.tail, 1, 10))
		want := append(texts(all[acked:]), texts(entries(200, 1, 10))...)
		if diff := cmp.Diff(want, takeAll(next)); diff != "" || len(d) > 0 {
			t.Fatalf("after %d: dropped %v\n%s", acked, d, diff)
		}
	}
}

func TestASegmentCutAtAnyByteKeepsTheRecordsBeforeTheCut(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	all := entries(0, 12, 20)
	mustAppend(t, s, all)
	s.ack(2)
	record := recordHeader + 20
	size := len(all) * record
	for cut := 0; cut <= size; cut++ {
		copied := afterCrash(t, dir)
		if err := os.Truncate(segmentFiles(t, copied)[0], int64(cut)); err != nil {
			t.Fatal(err)
		}
		next, _ := mustOpen(t, copied, testLimit)
		var want []string
		if whole := cut / record; whole > 2 {
			want = texts(all[2:whole])
		}
		added := entries(next.tail, 2, 20)
		mustAppend(t, next, added)
		if diff := cmp.Diff(append(want, texts(added)...), takeAll(next)); diff != "" {
			t.Fatalf("cut at %d: %s", cut, diff)
		}
		_ = next.closeFiles()
	}
}

func TestACursorCutOrChangedAtAnyByteLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	mustAppend(t, s, entries(0, 12, 20))
	for seq := range uint64(5) {
		s.ack(seq + 1)
	}
	cursor, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range cursor {
		changed := slices.Clone(cursor)
		changed[i] ^= 0x5a
		for _, content := range [][]byte{cursor[:i], changed} {
			copied := afterCrash(t, dir)
			if err := os.WriteFile(filepath.Join(copied, "cursor"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			next, _ := mustOpen(t, copied, testLimit)
			if got := next.pending(); got < 7 {
				t.Errorf("byte %d: only %d of 7 entries are left", i, got)
			}
			_ = next.closeFiles()
		}
	}
}

func TestADamagedRecordCostsTheRestOfItsSegmentAndIsCounted(t *testing.T) {
	for _, when := range []string{"while it is used", "between two runs"} {
		t.Run(when, func(t *testing.T) {
			dir := t.TempDir()
			s, d := mustOpen(t, dir, testLimit)
			mustAppend(t, s, entries(0, 200, 1000))
			segments := slices.Clone(s.segments)
			if len(segments) < 3 {
				t.Fatalf("only %d segments", len(segments))
			}
			damage(t, s.path(segments[1].first), (recordHeader+1000)*5+recordHeader+3)
			if when == "between two runs" {
				s, d = mustOpen(t, afterCrash(t, dir), testLimit)
			}
			got := takeAll(s)
			lost := segments[1].n - 5
			if want := 200 - lost; uint64(len(got)) != want || d[dropCorrupt] != lost {
				t.Errorf("got %d entries and dropped %v, want %d and %d", len(got), d, want, lost)
			}
		})
	}
}

func damage(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, at); err != nil {
		t.Fatal(err)
	}
}

func TestBeyondItsLimitTheSpoolDropsTheOldestAndCountsThem(t *testing.T) {
	dir := t.TempDir()
	s, d := mustOpen(t, dir, testLimit)
	want := entries(0, 3000, 1000)
	for chunk := range slices.Chunk(want, 50) {
		mustAppend(t, s, chunk)
		var size int64
		for _, name := range segmentFiles(t, dir) {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if size > testLimit {
			t.Fatalf("the segments take %d bytes", size)
		}
	}
	got := takeAll(s)
	if uint64(len(got))+d[dropSpoolFull] != 3000 || len(got) < 900 {
		t.Fatalf("got %d entries and dropped %v", len(got), d)
	}
	if diff := cmp.Diff(texts(want[3000-len(got):]), got); diff != "" {
		t.Error(diff)
	}
}

func TestDroppingTheSegmentBeingReadGoesOnWithTheNext(t *testing.T) {
	s, d := mustOpen(t, t.TempDir(), testLimit)
	mustAppend(t, s, entries(0, 100, 1000))
	inFlight := s.read(10, 1<<20)
	mustAppend(t, s, entries(100, 2000, 1000))
	s.ack(inFlight[9].seq + 1) // delivered after all
	got := takeAll(s)
	if uint64(len(got))+d[dropSpoolFull] != 2100 {
		t.Errorf("got %d entries and dropped %v", len(got), d)
	}
	if last := got[len(got)-1]; !strings.HasPrefix(last, "alert 2099 ") {
		t.Errorf("the last one is %.20q", last)
	}
}

func TestAWriteThatFailsIsReportedAndTheNextOneWorks(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	mustAppend(t, s, entries(0, 3, 20))
	readOnly, err := os.Open(s.path(0))
	if err != nil {
		t.Fatal(err)
	}
	_ = s.out.Close()
	s.out = readOnly
	if err := s.append(entries(3, 2, 20)); err == nil {
		t.Fatal("writing to a file that is open for reading works")
	}
	mustAppend(t, s, entries(3, 2, 20))
	next, d := mustOpen(t, afterCrash(t, dir), testLimit)
	if diff := cmp.Diff(texts(entries(0, 5, 20)), takeAll(next)); diff != "" || len(d) > 0 {
		t.Errorf("dropped %v\n%s", d, diff)
	}
}

func TestAGapInTheOrderIsNoHarm(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	mustAppend(t, s, entries(0, 3, 20))
	mustAppend(t, s, entries(10, 3, 20))
	want := append(texts(entries(0, 3, 20)), texts(entries(10, 3, 20))...)
	next, _ := mustOpen(t, afterCrash(t, dir), testLimit)
	for _, s := range []*spool{s, next} {
		if s.pending() != 6 {
			t.Errorf("%d are pending", s.pending())
		}
		s.ack(2)
		if got := s.read(1, 1); len(got) != 1 || got[0].seq != 2 {
			t.Errorf("the third is at %v", got)
		}
		s.ack(3)
		if got := s.read(1, 1); len(got) != 1 || got[0].seq != 10 {
			t.Errorf("the fourth is at %v", got)
		}
		if diff := cmp.Diff(want[3:], takeAll(s)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTwoProcessesCannotShareASpool(t *testing.T) {
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testLimit)
	if _, err := openSpool(dir, testLimit, 0, drops{}.drop); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("got %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, testLimit)
}

func FuzzSpoolOpen(f *testing.F) {
	dir := f.TempDir()
	s, _ := mustOpen(f, dir, testLimit)
	mustAppend(f, s, entries(0, 4, 20))
	s.ack(1)
	segment, err := os.ReadFile(segmentFiles(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	cursor, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(segment, segment, cursor, uint64(4))
	f.Add(segment, segment[:30], cursor[:13], uint64(2))
	f.Add([]byte{}, []byte("\xff\xff\xff\xff12345678"), []byte("x"), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, one, two, cursor []byte, first uint64) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{
			"cursor":                              cursor,
			fmt.Sprintf("%020d%s", 0, segmentExt): one,
			fmt.Sprintf("%020d%s", first%100, segmentExt): two,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := openSpool(dir, testLimit, 0, drops{}.drop)
		if err != nil {
			t.Fatal(err)
		}
		defer s.closeFiles()
		pending := s.pending()
		if got := takeAll(s); uint64(len(got)) != pending {
			t.Fatalf("%d were pending, %d came", pending, len(got))
		}
		mustAppend(t, s, entries(s.tail, 3, 20))
		if got := takeAll(s); len(got) != 3 {
			t.Fatalf("of 3 entries added %d came", len(got))
		}
	})
}

func BenchmarkSpool(b *testing.B) {
	s, _ := mustOpen(b, b.TempDir(), 64<<20)
	all := entries(0, 64, 1000)
	b.SetBytes(64 * 1000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range all {
			all[i].seq = s.tail + uint64(i)
		}
		if err := s.append(all); err != nil {
			b.Fatal(err)
		}
		batch := s.read(64, 1<<20)
		s.ack(batch[len(batch)-1].seq + 1)
	}
}
