package forwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/embedded"
	"github.com/saker-security/saker/forwarder/metrics"
)

// benchEvent is an alert of usual size.
const benchEvent = `{"hostname":"node-1","output":"16:31:56.746609046: Error File below a known binary directory opened for writing ` +
	`(user=root user_loginuid=-1 command=touch /bin/hack file=/bin/hack parent=bash container_id=host image=<NA>)","priority":"Error",` +
	`"rule":"Write below binary dir","source":"syscall","tags":["mitre_persistence","T1059","filesystem"],"time":"2026-05-17T15:31:56.746609046Z",` +
	`"output_fields":{"container.id":"host","container.image.repository":null,"evt.time":1507591916746609046,"fd.name":"/bin/hack",` +
	`"k8s.ns.name":null,"k8s.pod.name":null,"proc.aname[2]":"sshd","proc.cmdline":"touch /bin/hack","proc.pname":"bash","proc.pid":1234,` +
	`"user.loginuid":-1,"user.name":"root"}}`

// report adds events a second and CPU time an event, of this whole process, to b.
func report(b *testing.B, events int, run func()) {
	b.Helper()
	b.ReportAllocs()
	cpu := cpuTime(b)
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(events)/1000, "cpu-µs/event")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openIngest makes the ingest handler over a real journal.
func openIngest(b *testing.B) http.Handler {
	b.Helper()
	j, err := embedded.Open(b.Context(), b.TempDir(), journal.DefaultConfig(), quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	en, err := ingest.NewEnricher(ingest.Enrichment{})
	if err != nil {
		b.Fatal(err)
	}
	m := metrics.New(metrics.Options{Log: quiet})
	return ingest.New(ingest.Options{
		Journal: j, Enricher: en, Guard: auth.New(auth.Config{}), Observer: m, Metrics: m.Handler(),
		Limits:   mustLoad(b, "").Limits,
		NotReady: func() []string { return nil }, Log: quiet,
	}).Router(ingest.Everything)
}

// BenchmarkIngestJournal measures from a request to its events being in the journal.
func BenchmarkIngestJournal(b *testing.B) {
	b.Run("handler", func(b *testing.B) {
		h := openIngest(b)
		report(b, b.N, func() {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(benchEvent)))
					if w.Code != 200 {
						b.Error(w.Code)
					}
				}
			})
		})
	})
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("http/clients=%d", clients), func(b *testing.B) {
			server := httptest.NewServer(openIngest(b))
			defer server.Close()
			report(b, b.N, func() { post(b, server.URL, clients, b.N, benchEvent) })
		})
	}
	b.Run("http/clients=8/batch=100", func(b *testing.B) {
		server := httptest.NewServer(openIngest(b))
		defer server.Close()
		batch := strings.Repeat(benchEvent+"\n", 100)
		report(b, 100*b.N, func() { post(b, server.URL, 8, b.N, batch) })
	})
	b.Run("bare net.http", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		defer server.Close()
		report(b, b.N, func() { post(b, server.URL, 8, b.N, benchEvent) })
	})
}

// BenchmarkIngestWebhook measures from requests to all of their events having been
// accepted by a webhook.
func BenchmarkIngestWebhook(b *testing.B) {
	for _, tc := range []struct {
		name     string
		requests int
	}{{"one request at a time", 1}, {"8 requests at once", 8}} {
		b.Run(tc.name, func(b *testing.B) {
			var got atomic.Int64
			done := make(chan struct{})
			target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if got.Add(1) == int64(b.N) {
					close(done)
				}
			}))
			b.Cleanup(target.Close)
			f := start(b, b.TempDir(), fmt.Sprintf("webhook: {address: %q, maxconcurrentrequests: %d}", target.URL, tc.requests))
			report(b, b.N, func() {
				post(b, "http://"+f.Ingest.String(), 8, b.N, benchEvent)
				select {
				case <-done:
				case <-time.After(time.Minute):
					b.Errorf("%d of %d events came", got.Load(), b.N)
				}
			})
			if err := f.stop(); err != nil {
				b.Error(err)
			}
		})
	}
}

// post sends n requests from a number of clients that each keep one connection.
func post(b *testing.B, url string, clients, n int, body string) {
	b.Helper()
	c := client(b, nil)
	var left atomic.Int64
	left.Store(int64(n))
	finished := make(chan struct{}, clients)
	for range clients {
		go func() {
			defer func() { finished <- struct{}{} }()
			for left.Add(-1) >= 0 {
				resp, err := c.Post(url, "application/json", bytes.NewReader([]byte(body)))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					b.Error(resp.Status)
				}
			}
		}()
	}
	for range clients {
		<-finished
	}
}

// BenchmarkStatus measures what asking the journal for the figures of many outputs costs,
// which is done every two seconds.
func BenchmarkStatus(b *testing.B) {
	for _, n := range []int{1, 80} {
		b.Run(fmt.Sprintf("outputs=%d", n), func(b *testing.B) {
			text := "ui: {enabled: false}\noutputs:\n"
			for i := range n {
				text += fmt.Sprintf("  out-%d: {type: webhook, address: http://127.0.0.1:1}\n", i)
			}
			l := mustLoad(b, text)
			f, err := newForwarder(l, Options{Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			p, err := f.delivery.plan(l.Outputs, l.env("v0", quiet))
			if err != nil {
				b.Fatal(err)
			}
			if f.journal, err = openJournal(b.Context(), b.TempDir(), journal.DefaultConfig(), quiet); err != nil {
				b.Fatal(err)
			}
			f.delivery.journal, f.delivery.outputs = f.journal, p.next
			if err := f.delivery.open(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				ctx := context.WithoutCancel(b.Context())
				if err := errors.Join(f.delivery.abandon(ctx), f.journal.Close(ctx)); err != nil {
					b.Error(err)
				}
			})
			if err := f.journal.Append(b.Context(), []event.Event{ingest.TestEvent(time.Now())}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if got := f.askJournal(b.Context()); len(got) != n {
					b.Fatalf("%d outputs answered", len(got))
				}
			}
		})
	}
}
