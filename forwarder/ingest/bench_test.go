package ingest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

// benchEvent is an alert of usual size.
const benchEvent = `{"hostname":"node-1","output":"16:31:56.746609046: Error File below a known binary directory opened for writing ` +
	`(user=root user_loginuid=-1 command=touch /bin/hack file=/bin/hack parent=bash container_id=host image=<NA>)","priority":"Error",` +
	`"rule":"Write below binary dir","source":"syscall","tags":["T1059","filesystem","mitre_persistence"],"time":"2026-05-17T15:31:56.746609046Z",` +
	`"output_fields":{"container.id":"host","container.image.repository":null,"evt.time":1507591916746609046,"fd.name":"/bin/hack",` +
	`"k8s.ns.name":null,"k8s.pod.name":null,"proc.aname[2]":"sshd","proc.cmdline":"touch /bin/hack","proc.pid":1234,"proc.pname":"bash",` +
	`"user.loginuid":-1,"user.name":"root"}}`

// nowhere is a journal and an observer that do nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, []event.Event) error   { return nil }
func (nowhere) Accepted([]event.Event, string, time.Duration) {}
func (nowhere) Rejected(Reason, string)                       {}

// quietWriter is a ResponseWriter that costs nothing.
type quietWriter struct {
	header http.Header
	status int
}

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *quietWriter) WriteHeader(status int)      { w.status = status }

func benchRouter(b *testing.B) http.Handler {
	b.Helper()
	return newFixture(b, func(o *Options) {
		o.Journal, o.Observer = nowhere{}, nowhere{}
		o.Limits = Limits{MaxBodyBytes: 5 << 20, MaxEvents: 1000, MaxRequests: 256, MaxInFlightBytes: 64 << 20, MaxConnections: 4096}
	}).Router(Everything)
}

// BenchmarkHandler measures what ingest does with a request whose body is in memory, up to
// the journal. "nothing" is the cost of the scaffold.
func BenchmarkHandler(b *testing.B) {
	run := func(name string, h http.Handler, body string, events int) {
		b.Run(name, func(b *testing.B) {
			text := strings.NewReader(body)
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			w := &quietWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				text.Reset(body)
				r.Body, r.ContentLength = io.NopCloser(text), int64(len(body))
				h.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
	run("nothing", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	}), benchEvent, 1)
	run("single", benchRouter(b), benchEvent, 1)
	run("lines=100", benchRouter(b), strings.Repeat(benchEvent+"\n", 100), 100)
}

// BenchmarkHTTP measures requests a second over 8 kept connections, clients included,
// beside a handler that reads the body and answers.
func BenchmarkHTTP(b *testing.B) {
	bare := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	run := func(name string, h http.Handler, body string, events int) {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(h)
			defer server.Close()
			before := cpuTime(b)
			b.ReportAllocs()
			b.ResetTimer()
			load(b, server, body)
			b.StopTimer()
			b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*events)/1000, "cpu-µs/event")
		})
	}
	lines := strings.Repeat(benchEvent+"\n", 100)
	run("bare/single", bare, benchEvent, 1)
	run("ingest/single", benchRouter(b), benchEvent, 1)
	run("bare/lines=100", bare, lines, 100)
	run("ingest/lines=100", benchRouter(b), lines, 100)
}

// load sends b.N requests from 8 clients that each keep one connection.
func load(b *testing.B, server *httptest.Server, body string) {
	b.Helper()
	const clients = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for range (b.N + i) / clients {
				resp, err := client.Post(server.URL, "application/json", bytes.NewReader([]byte(body)))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Error(resp.Status)
				}
			}
		})
	}
	wait.Wait()
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
