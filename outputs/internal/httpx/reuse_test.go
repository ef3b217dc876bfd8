package httpx

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// counted starts a server that counts its connections. It answers a request once as many
// as atOnce are there.
func counted(t *testing.T, atOnce int, secure bool) (s *httptest.Server, connections *atomic.Int64) {
	t.Helper()
	connections = &atomic.Int64{}
	var mu sync.Mutex
	inside, turn := 0, make(chan struct{})
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		mine := turn
		if inside++; inside == atOnce {
			inside, turn = 0, make(chan struct{})
			close(mine)
		}
		mu.Unlock()
		select {
		case <-mine:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, connections
}

// rounds makes requests, so many at once, a few times, and returns the protocol.
func rounds(t *testing.T, client *http.Client, url string, atOnce int) string {
	t.Helper()
	var proto atomic.Value
	for range 4 {
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				answer, err := post(t, client, url)
				if err != nil {
					t.Error(err)
				}
				proto.Store(answer)
			})
		}
		wg.Wait()
	}
	return proto.Load().(string)
}

func TestAllConnectionsOfABusyOutputAreKept(t *testing.T) {
	outputstest.NoLeak(t)
	s, connections := counted(t, 64, false)
	client := newClient(t, Config{}, outputs.Env{})
	rounds(t, client, s.URL, 64)
	if n := connections.Load(); n > 80 {
		t.Errorf("%d connections for 64 requests at once", n)
	}
}

func TestHTTP2IsSpokenWhereTLSOffersIt(t *testing.T) {
	outputstest.NoLeak(t)
	s, connections := counted(t, 8, true)
	client := newClient(t, Config{}, outputs.Env{})
	if proto := rounds(t, client, s.URL, 8); proto != "HTTP/2.0" {
		t.Errorf("the protocol is %s", proto)
	}
	if n := connections.Load(); n > 8 {
		t.Errorf("%d connections, although one carries all requests", n)
	}
}
