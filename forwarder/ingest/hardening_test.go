package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/forwarder/listen"
)

// productLimits are the limits of a forwarder that is not configured, with few connections.
func productLimits(o *Options) {
	o.Limits = Limits{MaxBodyBytes: 5 << 20, MaxEvents: 1000, MaxRequests: 256, MaxInFlightBytes: 64 << 20, MaxConnections: 64, MaxPerAddress: 32}
}

// serve runs a forwarder's server and returns its address.
func serve(t *testing.T, change func(*Options)) (fixture, string) {
	t.Helper()
	f := newFixture(t, change)
	s, err := listen.Open(t.Context(), "127.0.0.1:0", f.Router(Everything), listen.Options{
		Name: "test", MaxConnections: f.Limits.MaxConnections, MaxPerAddress: f.Limits.MaxPerAddress, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, 10*time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f, s.Addr().String()
}

// from returns a client that sends from a loopback address of its own.
func from(t *testing.T, ip string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// postTo sends a body and returns the status.
func postTo(t *testing.T, c *http.Client, url string, body io.Reader) int {
	t.Helper()
	resp, err := c.Post(url, "application/json", body)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// hold opens connections from 127.0.0.1, sends text on each and keeps them open until the
// function returned is called.
func hold(t *testing.T, addr string, n int, text string) (release func()) {
	t.Helper()
	var all []net.Conn
	release = func() {
		for _, c := range all {
			c.Close()
		}
	}
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	return release
}

// allocated returns the bytes that run makes the process allocate, freed or not.
func allocated(run func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

func TestSlowSendersDoNotKeepOthersOut(t *testing.T) {
	for name, text := range map[string]string{
		"header":     "POST / HTTP/1.1\r\nHost: x\r\nX-",
		"small body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{",
		"large body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + strings.Repeat(" ", 1000),
		"chunks":     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f, addr := serve(t, productLimits)
			defer hold(t, addr, f.Limits.MaxPerAddress, text)()
			c := from(t, "127.0.0.2")
			for range 20 {
				if got := postTo(t, c, "http://"+addr, strings.NewReader(goodEvent)); got != 200 {
					t.Errorf("another sender got %d", got)
				}
			}
		})
	}
}

func TestBodiesThatHoldTheMemoryLeaveRoomForSmallOnes(t *testing.T) {
	f := newFixture(t, productLimits)
	router := f.Router(Everything)
	started := make(chan struct{})
	end := make(chan struct{})
	var wait sync.WaitGroup
	for range 40 {
		wait.Go(func() {
			r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat(" ", 3<<20)), &signal{started: started, end: end}))
			router.ServeHTTP(httptest.NewRecorder(), r)
			started <- struct{}{}
		})
		<-started // it has come to its end, or was refused
	}
	if left, kept := f.bytes.left.Load(), int64(f.Limits.MaxInFlightBytes)/reserve; left < kept {
		t.Errorf("%d of the budget is left, want the %d kept for small bodies", left, kept)
	}
	if status, retry := sendFrom(router, goodEvent+strings.Repeat(" ", 4<<20), nil); status != 503 || retry == "" {
		t.Errorf("one more large body got %d, Retry-After %q", status, retry)
	}
	if status, _ := sendFrom(router, goodEvent, nil); status != 200 {
		t.Errorf("a small body got %d", status)
	}
	close(end)
	drained := make(chan struct{})
	go func() {
		wait.Wait()
		close(drained)
	}()
	for done := false; !done; {
		select {
		case <-started:
		case <-drained:
			done = true
		}
	}
	if left := f.bytes.left.Load(); left != int64(f.Limits.MaxInFlightBytes) {
		t.Errorf("%d of the budget is left at the end", left)
	}
}

// signal is the end of a body that doesn't come until end is closed; it tells started once
// it is waited for.
type signal struct {
	once         sync.Once
	started, end chan struct{}
}

func (s *signal) Read([]byte) (int, error) {
	s.once.Do(func() { s.started <- struct{}{} })
	<-s.end
	return 0, io.EOF
}

// deadlines is a ResponseWriter that remembers how long it gave the sender.
type deadlines struct {
	http.ResponseWriter
	set []time.Duration
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, time.Until(t))
	return nil
}

func TestALargeBodyHasToComeInFastEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, productLimits)
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		f.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(goodEvent)))
		if len(w.set) != 0 {
			t.Errorf("a small body got the deadlines %v", w.set)
		}
		f.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(goodEvent+strings.Repeat(" ", 200<<10))))
		if len(w.set) < 2 || w.set[0] < graceTime || w.set[0] > bodyTime/2 {
			t.Errorf("a large body got the deadlines %v", w.set)
		}
		if last := w.set[len(w.set)-1]; last != bodyTime {
			t.Errorf("when the body has come the connection has %s, want %s", last, bodyTime)
		}
	})
}

// zeros are n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestHugeBodiesAreRefusedEarly(t *testing.T) {
	const size = 100 << 20
	f, addr := serve(t, productLimits)
	c := from(t, "127.0.0.1")
	bomb := pack(t, strings.Repeat(" ", 32<<20))
	for _, path := range []string{"/", "/ingest/cloudevents"} {
		for name, send := range map[string]func() (*http.Response, error){
			"size said": func() (*http.Response, error) {
				req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+path, zeros(size))
				if err != nil {
					return nil, err
				}
				req.ContentLength = size
				req.Header.Set("Expect", "100-continue")
				return c.Do(req)
			},
			"in chunks": func() (*http.Response, error) {
				return c.Post("http://"+addr+path, "application/json", io.MultiReader(zeros(size)))
			},
			"gzip": func() (*http.Response, error) {
				req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+path, strings.NewReader(bomb))
				if err != nil {
					return nil, err
				}
				req.Header.Set("Content-Encoding", "gzip")
				return c.Do(req)
			},
		} {
			t.Run(strings.TrimPrefix(path, "/")+" "+name, func(t *testing.T) {
				used := allocated(func() {
					resp, err := send()
					if err != nil {
						// The server may close before the client has sent all; then the
						// answer is lost in a reset, which is as early as can be.
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode != http.StatusRequestEntityTooLarge {
						t.Errorf("got %d", resp.StatusCode)
					}
				})
				if most := 24 << 20; used > most {
					t.Errorf("%d bytes were allocated, want at most %d", used, most)
				}
			})
		}
	}
	if n := len(f.journal.stored()); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestHostileJSONIsRefusedCheaply(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		productLimits(o)
		mappings(t)(o)
	})
	router := f.Router(Everything)
	member := func(fields string) string {
		return `{"output":"o","priority":"Warning","rule":"r","time":"2026-01-02T03:04:05Z","output_fields":{` + fields + `}}`
	}
	var manyFields bytes.Buffer
	for n := 0; manyFields.Len() < 5_000_000; n++ {
		fmt.Fprintf(&manyFields, `"%d":0,`, n)
	}
	bodies := map[string]string{
		"10000 levels of arrays":  strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"10000 levels of objects": strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"10000 levels in a field": member(`"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
		"nothing but [":           strings.Repeat("[", 5_000_000),
		"nothing but {\"a\":":     strings.Repeat(`{"a":`, 1_000_000),
		"very many fields":        member(manyFields.String() + `"x":0`),
		"a huge name":             member(`"` + strings.Repeat("a", 5_000_000) + `":0`),
		"a huge text":             member(`"a":"` + strings.Repeat(`\u0000`, 800_000) + `"`),
		"very many objects":       "[" + strings.Repeat("{},", 1_500_000) + "{}]",
		"very many empty names":   "{" + strings.Repeat(`"":{},`, 800_000) + `"":0}`,
		"a number without end":    member(`"a":` + strings.Repeat("9", 5_000_000)),
	}
	for _, path := range []string{"/", "/ingest/cloudevents", "/ingest/tracee", "/ingest/tetragon", "/ingest/alertmanager", "/ingest/generic/any"} {
		for name, body := range bodies {
			t.Run(path+" "+name, func(t *testing.T) {
				w := httptest.NewRecorder()
				used := allocated(func() {
					router.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
				})
				if w.Code != 400 && w.Code != 413 {
					t.Errorf("got %d", w.Code)
				}
				if most := 96 << 20; used > most {
					t.Errorf("%d bytes were allocated for %d bytes of body, want at most %d", used, len(body), most)
				}
				if w.Body.Len() > 1000 {
					t.Errorf("the answer has %d bytes", w.Body.Len())
				}
			})
		}
	}
	if n := len(f.journal.stored()); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestTextThatIsNotUTF8IsTakenAndMended(t *testing.T) {
	f := newFixture(t, mappings(t))
	for path, body := range map[string]string{
		"/":                    strings.Replace(goodEvent, `"o"`, "\"\xff\xfe\"", 1),
		"/ingest/tracee":       "{\"eventName\":\"\xff\"}",
		"/ingest/tetragon":     "{\"process_exec\":{\"process\":{\"binary\":\"/\xff\"}}}",
		"/ingest/alertmanager": "{\"alerts\":[{\"labels\":{\"\xff\":\"\xff\"}}]}",
		"/ingest/generic/any":  "{\"\xff\":\"\xff\"}",
	} {
		w := httptest.NewRecorder()
		f.Router(Everything).ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
		if w.Code != 200 {
			t.Errorf("%s got %d %s", path, w.Code, w.Body)
		}
	}
	for _, e := range f.journal.stored() {
		if text := string(e.AppendJSON(nil)); strings.ContainsRune(text, 0xff) || !strings.Contains(text, "\ufffd") && !strings.Contains(text, `\ufffd`) {
			t.Errorf("stored %s", text)
		}
	}
}

func TestAFloodOfConnectionsDoesNotKeepOthersOut(t *testing.T) {
	f, addr := serve(t, productLimits)
	before := runtime.NumGoroutine()
	defer hold(t, addr, 20*f.Limits.MaxConnections, "")()
	c := from(t, "127.0.0.2")
	for range 10 {
		if got := postTo(t, c, "http://"+addr, strings.NewReader(goodEvent)); got != 200 {
			t.Errorf("another sender got %d", got)
		}
	}
	if more, most := runtime.NumGoroutine()-before, 2*f.Limits.MaxConnections; more > most {
		t.Errorf("%d goroutines more, want at most %d", more, most)
	}
}
