package report

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

// BenchmarkDelivery takes alerts from Report to the receiver over loopback.
func BenchmarkDelivery(b *testing.B) {
	for _, bb := range []struct {
		name  string
		batch int
		spool bool
	}{{"one", 1, false}, {"batch100", 100, false}, {"batch100-spool", 100, true}} {
		b.Run(bb.name, func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
			}))
			defer srv.Close()
			c := testConfig(b, srv.URL)
			c.HTTP.Batch = bb.batch
			if bb.spool {
				c.Spool.Dir = b.TempDir()
			}
			r, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			if bb.spool {
				r.http.queue.fallBehind()
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			e := alertNumber(1)
			b.ReportAllocs()
			n := uint64(0)
			for b.Loop() {
				r.Report(e)
				for n++; n-r.sentByHTTP() > 500; {
					runtime.Gosched()
				}
			}
			for r.sentByHTTP() < n {
				runtime.Gosched()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func (r *Reporter) sentByHTTP() uint64 {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	return r.counts.sent[SinkHTTP]
}
