package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
)

// sendFrom posts a body and returns the status and Retry-After.
func sendFrom(h http.Handler, body string, change func(*http.Request)) (int, string) {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Retry-After")
}

func TestASenderBeyondItsRateHasToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Limits.PerSender = PerSender{Events: 2, Burst: 5} })
		router := f.Router(Everything)
		for n := range 5 {
			if status, _ := sendFrom(router, goodEvent, nil); status != 200 {
				t.Fatalf("event %d of the burst got %d", n+1, status)
			}
		}
		if status, retry := sendFrom(router, goodEvent, nil); status != 429 || retry != "1" {
			t.Errorf("one more got %d, Retry-After %q", status, retry)
		}
		time.Sleep(time.Second)
		for n := range 2 {
			if status, _ := sendFrom(router, goodEvent, nil); status != 200 {
				t.Errorf("event %d after a second got %d", n+1, status)
			}
		}
		if status, _ := sendFrom(router, goodEvent, nil); status != 429 {
			t.Errorf("a third got %d", status)
		}
		if f.counts.accepted != 7 || f.counts.rejected[ReasonRateLimit] != 2 {
			t.Errorf("counted %+v", f.counts)
		}
		time.Sleep(time.Hour)
		sent := 0
		for status := 200; status == 200; sent++ {
			status, _ = sendFrom(router, goodEvent, nil)
		}
		if sent != 6 {
			t.Errorf("after an hour %d events were taken at once, want the burst of 5", sent-1)
		}
	})
}

func TestARequestLargerThanTheBurstIsTakenAndPaidForLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Limits.PerSender = PerSender{Events: 1, Burst: 2} })
		router := f.Router(Everything)
		if status, _ := sendFrom(router, strings.Repeat(goodEvent, 10), nil); status != 200 {
			t.Fatalf("got %d", status)
		}
		if status, retry := sendFrom(router, goodEvent, nil); status != 429 || retry != "9" {
			t.Errorf("the next got %d, Retry-After %q", status, retry)
		}
		time.Sleep(9 * time.Second)
		if status, _ := sendFrom(router, goodEvent, nil); status != 200 {
			t.Errorf("after the pause asked for it got %d", status)
		}
	})
}

func TestBytesAreLimitedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Limits.PerSender = PerSender{Bytes: config.Bytes(len(goodEvent))} })
		router := f.Router(Everything)
		for range 10 {
			if status, _ := sendFrom(router, goodEvent, nil); status != 200 {
				t.Fatalf("got %d", status)
			}
		}
		if status, _ := sendFrom(router, goodEvent, nil); status != 429 {
			t.Errorf("got %d", status)
		}
		time.Sleep(2 * time.Second)
		// A body that is refused has been read and counts.
		if status, _ := sendFrom(router, strings.Repeat("x", 3*len(goodEvent)), nil); status != 400 {
			t.Errorf("got %d", status)
		}
		if status, _ := sendFrom(router, goodEvent, nil); status != 429 {
			t.Errorf("after a large bad body: %d", status)
		}
	})
}

func TestEachSenderHasARateOfItsOwn(t *testing.T) {
	token := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret-"+name) }
	}
	certificate := func(name string) func(*http.Request) {
		return func(r *http.Request) {
			cert := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}
		}
	}
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = address }
	}
	for _, tc := range []struct {
		name          string
		guarded       bool
		a, sameAsA, b func(*http.Request)
	}{
		{"tokens", true, token("a"), func(r *http.Request) { token("a")(r); r.RemoteAddr = "10.9.9.9:1" }, token("b")},
		{"certificates", false, certificate("a"), certificate("a"), certificate("b")},
		{"addresses", false, from("10.0.0.1:1000"), from("10.0.0.1:2000"), from("10.0.0.2:1000")},
		{"IPv6 networks", false, from("[2001:db8::1]:1"), from("[2001:db8::ffff]:1"), from("[2001:db8:0:1::1]:1")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(o *Options) {
					o.Limits.PerSender = PerSender{Events: 0.01, Burst: 1}
					if tc.guarded {
						o.Guard = auth.Senders(auth.Config{Tokens: map[string]config.Secret{"a": config.NewSecret("secret-a"), "b": config.NewSecret("secret-b")}})
					}
				})
				router := f.Router(Everything)
				for _, step := range []struct {
					who    func(*http.Request)
					status int
				}{{tc.a, 200}, {tc.sameAsA, 429}, {tc.b, 200}, {tc.b, 429}} {
					if got, _ := sendFrom(router, goodEvent, step.who); got != step.status {
						t.Errorf("got %d, want %d", got, step.status)
					}
				}
			})
		})
	}
}

func TestTheOwnSensorHasNoRate(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Limits.PerSender = PerSender{Events: 0.01, Burst: 1}
		o.OwnSensor = auth.New(auth.Config{Token: config.NewSecret("own")})
	})
	for range 5 {
		if status, _ := sendFrom(f.Router(Everything), goodEvent, func(r *http.Request) { r.Header.Set("Authorization", "Bearer own") }); status != 200 {
			t.Errorf("got %d", status)
		}
	}
}

func TestTheTableOfSendersIsBounded(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.PerSender = PerSender{Events: 1} })
	router := f.Router(Everything)
	for n := range maxSenders + 500 {
		sendFrom(router, "", func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", n>>16, n>>8&255, n&255) })
	}
	if n := f.rates.senders.Len(); n != maxSenders {
		t.Errorf("%d senders are known, want %d", n, maxSenders)
	}
}

func TestTheLogTellsOnceInAWhileThatSendersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		f := newFixture(t, func(o *Options) {
			o.Limits.PerSender = PerSender{Events: 0.001, Burst: 1}
			o.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))
		})
		send := func(n int) {
			for range n {
				sendFrom(f.Router(Everything), goodEvent, nil)
			}
		}
		send(5)
		time.Sleep(tellEvery)
		send(2)
		const line = "level=WARN msg=\"requests were refused because their sender is beyond its rate\" requests=%d latest=192.0.2.1\n"
		if want := fmt.Sprintf(line, 1) + fmt.Sprintf(line, 4); lines.String() != want {
			t.Errorf("logged\n%swant\n%s", lines.String(), want)
		}
	})
}

// named counts events, and refused requests, by sender.
type named struct{ by, refused map[string]int }

func (n *named) Accepted(batch []event.Event, sender string, _ time.Duration) {
	n.by[sender] += len(batch)
}
func (n *named) Rejected(_ Reason, sender string) { n.refused[sender]++ }

func TestTheObserverLearnsWhichCredentialSends(t *testing.T) {
	n := &named{by: map[string]int{}, refused: map[string]int{}}
	f := newFixture(t, func(o *Options) {
		o.Observer = n
		o.Guard = auth.Senders(auth.Config{Token: config.NewSecret("x"), Tokens: map[string]config.Secret{"node": config.NewSecret("y")}})
	})
	for secret, events := range map[string]int{"x": 1, "y": 3, "z": 2} {
		sendFrom(f.Router(Everything), strings.Repeat(goodEvent, events), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) })
	}
	if len(n.by) != 2 || n.by[auth.NameToken] != 1 || n.by["node"] != 3 {
		t.Errorf("counted %v", n.by)
	}
	sendFrom(f.Router(Everything), "{", func(r *http.Request) { r.Header.Set("Authorization", "Bearer y") })
	if len(n.refused) != 2 || n.refused[""] != 1 || n.refused["node"] != 1 {
		t.Errorf("counted %v refused", n.refused)
	}
}

func TestLimitsThatLetNothingInAreRefused(t *testing.T) {
	good := Limits{MaxBodyBytes: 1, MaxEvents: 1, MaxRequests: 1, MaxInFlightBytes: 2, MaxConnections: 1}
	for _, tc := range []struct {
		change func(*Limits)
		want   string
	}{
		{func(*Limits) {}, ""},
		{func(l *Limits) { l.MaxInFlightBytes = 1 }, "maxinflightbytes: must be at least twice limits.maxbodybytes"},
		{func(l *Limits) { l.MaxPerAddress = -1 }, "maxconnectionsperaddress: must not be negative"},
		{func(l *Limits) { l.MaxConnections = 0 }, "maxconnections: must be at least 1"},
	} {
		l := good
		tc.change(&l)
		got := ""
		if err := l.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	for p, want := range map[PerSender]string{
		{}:                    "",
		{Events: 1, Burst: 1}: "",
		{Events: -1}:          "eventspersecond: must not be negative",
		{Burst: 1}:            "burst: has no effect without limits.persender.eventspersecond",
		{Bytes: -1}:           "bytespersecond: must not be negative",
	} {
		got := ""
		if err := p.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: got %q, want %q", p, got, want)
		}
	}
}
