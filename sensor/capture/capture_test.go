package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// header is that of a capture of this machine.
func header() Header {
	h := NewHeader("web-1", "v1.2.3")
	h.Started, h.Boot = h.Started.UTC().Round(0), h.Boot.UTC()
	return h
}

// seekable is a file in memory.
type seekable struct{ *bytes.Reader }

func (seekable) Close() error { return nil }

func player(content []byte) (*Player, error) {
	return newPlayer("test", seekable{bytes.NewReader(content)})
}

// captured writes a capture in several chunks.
func captured(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, header(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	must(t, w.Accounts(container.ID{}, process.Accounts{
		Users: map[uint32]process.User{7: {Name: "eve", Home: "/home/eve", Shell: "/bin/sh"}}, Groups: map[uint32]string{8: "staff"},
	}))
	for pid := range int32(3) {
		must(t, w.Process(process.Snapshot{PID: pid + 1, PPID: pid, HostPidns: true, Comm: []byte("p\xff"), Cwd: []byte("/x/")}))
		must(t, w.Flush())
	}
	info := &container.Info{ID: container.ID{Full: strings.Repeat("ab", 32), Engine: container.Docker}, Name: "web", Labels: map[string]string{"a": "b"}}
	must(t, w.Container(info))
	for i := range 10 {
		must(t, w.Record(message(uint32(i))))
		must(t, w.Flush())
	}
	must(t, w.Close(5, "its time was over"))
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// message is a record of the n-th nanosecond and of process n+1.
func message(n uint32) []byte {
	return probe.Bare(probe.KindSetsid, int32(n)+1, time.Duration(n))
}

func TestWhatWasRecordedIsPlayed(t *testing.T) {
	content := captured(t)
	p, err := player(content)
	must(t, err)
	defer p.Close()
	if got := p.Header(); got != header0(p) || got.Hostname != "web-1" || got.Build != "v1.2.3" {
		t.Errorf("the header is %+v", got)
	}
	id := container.ID{Full: strings.Repeat("ab", 32), Engine: container.Docker}
	if info := p.Containers().Info(id); info == nil || info.Name != "web" || !maps.Equal(info.Labels, map[string]string{"a": "b"}) {
		t.Errorf("before the first record the container is %+v", info)
	}
	var pids []int32
	must(t, p.Run(t.Context(), func(r *probe.Record) {
		pids = append(pids, r.PID)
		if want := uint64(p.Header().Boot.UnixNano()) + uint64(len(pids)-1); r.Time != want {
			t.Errorf("the time of record %d is %d, want %d", len(pids), r.Time, want)
		}
	}))
	if fmt.Sprint(pids) != "[1 2 3 4 5 6 7 8 9 10]" {
		t.Errorf("the records are of %v", pids)
	}
	if end := p.End(); end == nil || *end != (End{10, 5, "its time was over"}) {
		t.Errorf("the end is %+v", end)
	}
	first := p.Processes().Lookup(3)
	if first == nil || first.Comm != "p\xff" || first.PPID != 2 || first.Cwd != "/x/" {
		t.Errorf("the process is %+v", first)
	}
	if user, group := p.Users().User(nil, 7), p.Users().Group(nil, 8); user.Name != "eve" || group != "staff" {
		t.Errorf("user %+v, group %q", user, group)
	}
	if user := p.Users().User(nil, 1).Name; user != process.Unnamed {
		t.Errorf("an account of this machine is found: %q", user)
	}
	if err := p.Run(t.Context(), func(*probe.Record) {}); err == nil {
		t.Error("it is played twice")
	}
}

// header0 is the header with what depends on the moment taken from p.
func header0(p *Player) Header {
	h := header()
	h.Boot, h.Started = p.Header().Boot, p.Header().Started
	return h
}

func TestAFileThatIsCutOffAnywhereIsGoodUpToThere(t *testing.T) {
	content := captured(t)
	last := uint64(0)
	for length := range len(content) {
		p, err := player(content[:length])
		if err != nil {
			if !errors.Is(err, ErrFormat) || last > 0 {
				t.Fatalf("cut to %d bytes: %v", length, err)
			}
			continue
		}
		if err := p.Run(context.Background(), func(*probe.Record) {}); err != nil {
			t.Fatalf("cut to %d bytes: %v", length, err)
		}
		records, _ := p.Records()
		if records < last || p.End() != nil {
			t.Fatalf("cut to %d bytes there are %d records, and the end %v", length, records, p.End())
		}
		last = records
		must(t, p.Close())
	}
	if last != 10 {
		t.Errorf("only %d records are there without the end", last)
	}
}

func TestEveryByteThatChangesIsNoticed(t *testing.T) {
	content := captured(t)
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 0x20
		p, err := player(changed)
		if err != nil {
			continue
		}
		err = p.Run(context.Background(), func(*probe.Record) {})
		// A length that has grown looks like a file that was cut off.
		if _, damaged := errors.AsType[*DamagedError](err); !damaged && p.End() != nil {
			t.Fatalf("byte %d: the error is %v, and the end is there", i, err)
		}
		must(t, p.Close())
	}
}

func TestAFileThatCannotBePlayedIsRefusedClearly(t *testing.T) {
	file := func(change func(*Header)) []byte {
		h := header()
		change(&h)
		var b bytes.Buffer
		_, err := NewWriter(&b, h, 1<<20)
		must(t, err)
		return b.Bytes()
	}
	another := file(func(*Header) {})
	another[len(magic)] = 9
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"an empty file":   {nil, "it is no capture file: it ends before its header"},
		"another file":    {[]byte("#!/bin/sh\nexit 0\n"), "it is no capture file"},
		"another version": {another, "it has version 9 of the format, this program reads version 1"},
		"another layout":  {file(func(h *Header) { h.Layout = "x" }), `it was recorded by version "v1.2.3", whose records have another form`},
		"another machine": {file(func(h *Header) { h.Machine = "s390x" }), `it was recorded on "s390x"`},
		"a large header":  {append([]byte(magic), 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), "the file is damaged at byte 9: a part of 4294967295 bytes cannot be"},
	} {
		_, err := player(c.content)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

func TestAFileGetsNoLargerThanItMay(t *testing.T) {
	var b bytes.Buffer
	const limit = 8 << 10
	w, err := NewWriter(&b, header(), limit)
	must(t, err)
	written := 0
	for ; err == nil; written++ {
		if err = w.Record(message(uint32(written))); err == nil {
			err = w.Flush()
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("the error is %v", err)
	}
	must(t, w.Close(0, "full"))
	if b.Len() > limit || w.Size() != int64(b.Len()) {
		t.Errorf("the file has %d bytes, the writer says %d", b.Len(), w.Size())
	}
	p, err := player(b.Bytes())
	must(t, err)
	defer p.Close()
	must(t, p.Run(t.Context(), func(*probe.Record) {}))
	records, malformed := p.Records()
	if p.End() == nil || p.End().Records != records+malformed || records+malformed != uint64(written-1) {
		t.Errorf("%d records and %d malformed ones, the end is %+v, %d were written", records, malformed, p.End(), written)
	}
}

func TestAClockThatWasSetIsFollowed(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, header(), 1<<20)
	must(t, err)
	must(t, w.Boot(time.Unix(1000, 0)))
	must(t, w.Record(message(3)))
	must(t, w.Close(0, ""))
	p, err := player(b.Bytes())
	must(t, err)
	defer p.Close()
	must(t, p.Run(t.Context(), func(r *probe.Record) {
		if r.Time != uint64(1000*time.Second)+3 {
			t.Errorf("the time is %d", r.Time)
		}
	}))
}

func TestAPlayerStopsWhenItIsTold(t *testing.T) {
	p, err := player(captured(t))
	must(t, err)
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	must(t, p.Run(ctx, func(*probe.Record) {
		n++
		cancel()
	}))
	if n != 1 {
		t.Errorf("%d records were played", n)
	}
}

func TestNoFileIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.capture")
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	if _, err := Record(t.Context(), path, Options{Header: header()}); !errors.Is(err, os.ErrExist) {
		t.Errorf("the error is %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "mine" {
		t.Errorf("the file is now %q, %v", content, err)
	}
}

func FuzzPlay(f *testing.F) {
	f.Add(captured(f))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := player(content)
		if err != nil {
			return
		}
		defer p.Close()
		source := p.Source(nil)
		_ = p.Run(t.Context(), func(r *probe.Record) { source.Event(r) })
	})
}

// FuzzEntries changes what is inside of the chunks, which checksums keep a fuzzer from.
func FuzzEntries(f *testing.F) {
	f.Add([]byte{byte(processEntry), 2, '{', '}', byte(accountsEntry), 2, '{', '}', byte(bootEntry), 1, 0})
	f.Add([]byte{byte(recordEntry), 0xff, 0xff, 3, byte(endEntry), 0})
	f.Fuzz(func(t *testing.T, chunk []byte) {
		var b bytes.Buffer
		w, err := NewWriter(&b, header(), 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		w.chunk = bytes.Clone(chunk)
		if err := w.Flush(); err != nil && len(chunk) > 0 {
			t.Fatal(err)
		}
		p, err := player(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		source := p.Source(nil)
		if err := p.Run(t.Context(), func(r *probe.Record) { source.Event(r) }); err != nil && errors.Is(err, io.EOF) {
			t.Errorf("the end is an error: %v", err)
		}
	})
}

func BenchmarkPlay(b *testing.B) {
	var file bytes.Buffer
	w, err := NewWriter(&file, header(), 1<<30)
	must(b, err)
	const records = 100_000
	for i := range records {
		must(b, w.Record(message(uint32(i))))
	}
	must(b, w.Close(0, ""))
	b.ReportAllocs()
	for b.Loop() {
		p, err := player(file.Bytes())
		must(b, err)
		must(b, p.Run(b.Context(), func(*probe.Record) {}))
		must(b, p.Close())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}
