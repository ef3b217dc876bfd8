package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func full() Format {
	return Format{JSON: true, IncludeOutput: true, IncludeMessage: true, IncludeOutputFields: true, IncludeTags: true}
}

// odd is an alert with everything that needs care.
func odd() event.Event {
	return event.Event{
		UUID: "3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be111", Hostname: "node-1", Rule: `A "rule" <b>&\`,
		Output:   "16:31:56.746609046: Error bad: \x1b[31m\nfile\xff é\u2028😀",
		Priority: event.Error, Source: "syscall", Tags: []string{"b", "a"},
		Time: time.Date(2019, 5, 17, 17, 31, 56, 100, time.FixedZone("", 7200)),
		Fields: []event.Field{
			{Name: "evt.time", Value: event.NumberValue("1507591916746609046")},
			{Name: "fd.name", Value: event.StringValue("/tmp/\x00\x7f<x>")},
			{Name: "k8s.ns.name"},
			{Name: "proc.aname[2]", Value: event.CompositeValue(`["a","b"]`)},
			{Name: "proc.is_exe", Value: event.BoolValue(true)},
		},
	}
}

func TestAlertsHaveTheFormOfFalco(t *testing.T) {
	bare := alertNumber(1)
	bare.UUID, bare.Hostname, bare.Fields = "", "", nil
	internal := bare
	internal.Source = internalSource
	var got bytes.Buffer
	for _, e := range []event.Event{odd(), alertNumber(1), bare, internal} {
		for _, f := range []Format{full(), {JSON: true}, {}} {
			line := appendLine(nil, &e, f)
			if f.JSON && !json.Valid(line) {
				t.Errorf("%s is no JSON", line)
			}
			if bytes.ContainsAny(line, "\n\r\x1b") {
				t.Errorf("%q has control characters", line)
			}
			got.Write(append(line, '\n'))
		}
	}
	const golden = "testdata/lines.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTheForwarderReadsWhatTheSensorWrites(t *testing.T) {
	for _, want := range []event.Event{odd(), alertNumber(1), droppedEvent(map[string]uint64{"a": 1}, time.Now(), "node", true)} {
		got, err := event.Decode(AppendFalcoJSON(nil, &want, full()))
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
		want.Output = strings.ToValidUTF8(want.Output, "\ufffd")
		if want.UUID == odd().UUID {
			want.Tags = []string{"a", "b"}
		}
		same := cmp.Options{cmp.AllowUnexported(event.Value{}), cmp.Comparer(time.Time.Equal)}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Error(diff)
		}
	}
}

func TestThePrefixIsTheTimeAndThePriority(t *testing.T) {
	at := time.Date(2019, 5, 17, 17, 31, 56, 100, time.FixedZone("", 7200))
	if got := string(AppendPrefix(nil, at, event.Informational, true)); got != "2019-05-17T15:31:56.000000100+0000: Informational " {
		t.Errorf("got %q", got)
	}
	if got, want := string(AppendPrefix(nil, at, event.Alert, false)), at.Local().Format("15:04:05")+".000000100: Alert "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzFalcoJSON(f *testing.F) {
	f.Add("plain", "a\"\\\n\x00")
	f.Add("\xff\u2028", "é😀\x7f")
	f.Fuzz(func(t *testing.T, name, text string) {
		e := alertNumber(1)
		e.Output = text
		e.Fields = []event.Field{{Name: name, Value: event.StringValue(text)}}
		line := AppendFalcoJSON(nil, &e, full())
		var got struct {
			Output       string
			OutputFields map[string]string `json:"output_fields"`
		}
		if err := json.Unmarshal(line, &got); err != nil || bytes.ContainsRune(line, '\n') {
			t.Fatalf("%q: %v", line, err)
		}
		clean := string([]rune(text))
		if got.Output != clean || got.OutputFields[string([]rune(name))] != clean {
			t.Fatalf("%q became %q", text, line)
		}
		if shown := appendText(nil, text); bytes.ContainsAny(shown, "\n\r\x1b\x00") {
			t.Fatalf("%q is shown as %q", text, shown)
		}
	})
}

func TestStandardOutputGetsOneLineAnAlert(t *testing.T) {
	c := testConfig(t, "")
	c.Stdout.Enabled = true
	lines := make(chan string, 100)
	r := start(t, c, Options{Stdout: lineWriter(lines)}, alertNumbers(0, 3)...)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := <-lines, strings.Repeat(alertNumber(0).Output+"\n", 3); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := r.Stats().Sent[SinkStdout]; n != 3 {
		t.Errorf("%d are counted", n)
	}
}

func TestTheFileIsAppendedToAndReopened(t *testing.T) {
	for _, keepAlive := range []bool{true, false} {
		t.Run(fmt.Sprintf("keep alive %v", keepAlive), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "events.txt")
			if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c := File{Enabled: true, KeepAlive: keepAlive, Filename: name}
			s, err := newFileSink(c, Format{})
			if err != nil {
				t.Fatal(err)
			}
			write := func() {
				t.Helper()
				if err := s.Write(t.Context(), alertNumbers(0, 1)); err != nil {
					t.Fatal(err)
				}
			}
			write()
			if err := os.Rename(name, name+".1"); err != nil {
				t.Fatal(err)
			}
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
			write()
			write()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			line := alertNumber(0).Output + "\n"
			for file, want := range map[string]string{name + ".1": "before\n" + line, name: line + line} {
				if got, err := os.ReadFile(file); err != nil || string(got) != want {
					t.Errorf("%s has %q, %v", filepath.Base(file), got, err)
				}
			}
		})
	}
}

func TestASignalReopensTheFileOfARunningReporter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events.txt")
	c := testConfig(t, "")
	c.File = File{Enabled: true, KeepAlive: true, Filename: name}
	r := start(t, c, Options{})
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	r.Reopen()
	for deadline := time.Now().Add(patience); ; {
		if _, err := os.Stat(name); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the file does not come back")
		}
	}
}

func TestAFileThatCannotBeWrittenIsSaidAtTheStartOrCounted(t *testing.T) {
	c := testConfig(t, "")
	c.File = File{Enabled: true, Filename: filepath.Join(t.TempDir(), "no", "folder")}
	if _, err := New(c, Options{}); err == nil || !strings.HasPrefix(err.Error(), "open the file for alerts: ") {
		t.Errorf("got %v", err)
	}
	c.File.Filename = "/dev/full"
	r := start(t, c, Options{})
	r.report(0, 2)
	r.awaitLog("alerts are lost on one way out")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.Stats().Dropped[Drop{SinkFile, "write_error"}]; n != 2 {
		t.Errorf("%d are counted", n)
	}
}

func TestSyslogGetsThePriorityAsTheSeverity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	listen := func() *net.UnixConn {
		t.Helper()
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	server := listen()
	s := &syslogSink{paths: []string{filepath.Join(t.TempDir(), "absent"), path}}
	t.Cleanup(func() { _ = s.Close() })
	shape := regexp.MustCompile(`^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d saker\[\d+\]: 12:00:00.000000000: Warning something happened$`)
	send := func(p event.Priority) string {
		t.Helper()
		e := alertNumber(0)
		e.Priority = p
		if err := s.Write(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<16)
		n, err := server.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		match := shape.FindSubmatch(buf[:n])
		if match == nil {
			t.Fatalf("got %q", buf[:n])
		}
		return string(match[1])
	}
	for p, want := range map[event.Priority]string{event.Emergency: "8", event.Error: "11", event.Informational: "14", event.Debug: "15", event.None: "15"} {
		if got := send(p); got != want {
			t.Errorf("%v has the number %s, want %s", p, got, want)
		}
	}
	_ = server.Close()
	_ = os.Remove(path)
	if err := s.Write(t.Context(), alertNumbers(0, 1)); err == nil {
		t.Error("nobody listens, and it works")
	}
	server = listen()
	send(event.Error)
}

func TestAnAlertTooLongForSyslogIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	server, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s := &syslogSink{paths: []string{path}}
	defer s.Close()
	e := alertNumber(0)
	e.Output = strings.Repeat("x", 1<<20)
	if err := s.Write(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	if n, err := server.Read(buf); err != nil || n != syslogMax {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

func BenchmarkFalcoJSON(b *testing.B) {
	e := odd()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFalcoJSON(buf[:0], &e, full())
	}
}
