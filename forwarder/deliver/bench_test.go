package deliver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
	_ "github.com/saker-security/saker/outputs/webhook"
)

// serverDelay is the variable that turns this test's program into a server that answers
// every request with 200 after so long, on an address that it prints.
const serverDelay = "SAKER_TEST_SERVER_DELAY"

// serveHTTP answers requests at as little cost as can be, until standard input ends.
func serveHTTP(delay time.Duration) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c, delay)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func answer(c net.Conn, delay time.Duration) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		time.Sleep(delay)
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// startServer starts the server in a process of its own, so that its CPU time is not ours.
func startServer(b *testing.B, delay time.Duration) (address string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverDelay+"="+delay.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line) + "/events"
}

// endless is a Source that has a number of events, all alike, and tells when they are
// acknowledged.
type endless struct {
	event    event.Event
	left     int
	sequence uint64
	open     atomic.Int64
	done     chan struct{}
}

func newEndless(n int) *endless {
	s := &endless{event: benchEvent(), left: n, done: make(chan struct{})}
	s.open.Store(int64(n))
	return s
}

func benchEvent() event.Event {
	e := event.Event{
		UUID: "5d0b9a1c-3b1f-4f4e-9a51-7a8f2c1d3e4b", Rule: "Write below binary dir", Priority: event.Error, Source: "syscall",
		Output: "16:31:56.746609046: Error File below a known binary directory opened for writing (user=root command=touch /bin/hack file=/bin/hack)",
		Time:   time.Date(2026, 5, 17, 15, 31, 56, 0, time.UTC), Hostname: "node-1", Tags: []string{"mitre_persistence", "T1059"},
	}
	for _, name := range []string{"container.id", "fd.name", "k8s.ns.name", "k8s.pod.name", "proc.aname[2]", "proc.cmdline", "proc.pname", "user.name"} {
		e.Fields = append(e.Fields, event.Field{Name: name, Value: event.StringValue("a value of usual length")})
	}
	return e
}

func (s *endless) Fetch(ctx context.Context, limit, _ int, wait time.Duration) ([]journal.Delivery, error) {
	limit = min(limit, s.left)
	if limit == 0 {
		sleep(ctx, wait)
		return nil, nil
	}
	s.left -= limit
	ds := make([]journal.Delivery, limit)
	for i := range ds {
		s.sequence++
		ds[i] = journal.Delivery{Event: s.event, Sequence: s.sequence, Stored: s.event.Time, Attempt: 1, Size: 700, Receipt: s}
	}
	return ds, nil
}

func (s *endless) Bury(context.Context, journal.DeadLetter) error { return nil }
func (s *endless) Nak(time.Duration) error                        { return nil }
func (s *endless) InProgress() error                              { return nil }

func (s *endless) Ack() error {
	if s.open.Add(-1) == 0 {
		close(s.done)
	}
	return nil
}

// webhook makes the output that posts to address.
func webhook(b testing.TB, address string) outputs.Sender {
	b.Helper()
	kind, ok := outputs.Lookup("webhook")
	if !ok {
		b.Fatal("there is no webhook")
	}
	cfg := kind.NewConfig()
	if _, err := config.Load(config.Source{Environ: []string{"WEBHOOK_ADDRESS=" + address, "WEBHOOK_CHECKCERT=false"}}, config.Section{Path: "webhook", Into: []any{cfg}}); err != nil {
		b.Fatal(err)
	}
	sender, err := kind.Build(cfg, outputs.Env{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sender.(io.Closer).Close() })
	return sender
}

// measure reports events a second and our CPU time an event.
func measure(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/float64(b.N), "cpu-µs/event")
}

// BenchmarkWebhook is the way through a worker with default settings to an endpoint that
// answers after some time, beside bare requests with as many connections.
func BenchmarkWebhook(b *testing.B) {
	for _, delay := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		b.Run("worker/delay="+delay.String(), func(b *testing.B) {
			source := newEndless(b.N)
			w, err := New(Options{
				Name: "out", Sender: webhook(b, startServer(b, delay)), Source: source, Batch: 1,
				Settings: DefaultSettings(), Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			measure(b, func() {
				go func() { ended <- w.Run(ctx) }()
				<-source.done
			})
			b.ReportMetric(float64(w.State().Limit), "limit")
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
		b.Run("bare/delay="+delay.String(), func(b *testing.B) { bare(b, startServer(b, delay), 64) })
	}
}

// bare posts the events' JSON with a number of goroutines and nothing around.
func bare(b *testing.B, address string, concurrent int) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: concurrent}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	e := benchEvent()
	body := e.AppendJSON(nil)
	var left atomic.Int64
	left.Store(int64(b.N))
	measure(b, func() {
		var wg sync.WaitGroup
		for range concurrent {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					res, err := client.Post(address, "application/json", bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		}
		wg.Wait()
	})
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
