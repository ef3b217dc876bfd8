package syscalls_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// resolver is a name service that the test sets and that counts.
type resolver struct {
	mu        sync.Mutex
	addresses map[string][]netip.Addr
	err       error
	asked     int
}

func (r *resolver) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.addresses[host], r.err
}

func (r *resolver) set(err error, host string, addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.addresses = map[string][]netip.Addr{}
	for _, a := range addresses {
		r.addresses[host] = append(r.addresses[host], netip.MustParseAddr(a))
	}
}

func (r *resolver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// withHosts runs the test in fake time beside a Hosts.
func withHosts(t *testing.T, test func(*testing.T, *syscalls.Hosts, *resolver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{}
		h := &syscalls.Hosts{Lookup: r.lookup}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		test(t, h, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

var one, two = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func TestAHostNameIsLookedUpInTheBackground(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "example.org", "192.0.2.1", "2001:db8::1")
		is := h.Watch("example.org")
		synctest.Wait()
		if !is(one) || !is(netip.MustParseAddr("::ffff:192.0.2.1")) || !is(netip.MustParseAddr("2001:db8::1")) || is(two) {
			t.Error("the addresses are wrong")
		}
		if name := h.NameOf(one); name != "example.org" {
			t.Errorf("the name is %q", name)
		}
		if name := h.NameOf(two); name != "" {
			t.Errorf("the name of another is %q", name)
		}
	})
}

func TestNothingIsTrueBeforeTheFirstAnswer(t *testing.T) {
	h := &syscalls.Hosts{}
	if h.Watch("example.org")(one) {
		t.Error("an address without lookup")
	}
	var none *syscalls.Hosts
	if name := none.NameOf(one); name != "" {
		t.Errorf("the name is %q", name)
	}
}

func TestAnAddressIsItsOwnName(t *testing.T) {
	is := (&syscalls.Hosts{}).Watch("192.0.2.1")
	if !is(one) || is(two) {
		t.Error("the literal address does not match itself alone")
	}
}

func TestLookupsBecomeRareWhileNothingChanges(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "a", "192.0.2.1")
		is := h.Watch("a")
		synctest.Wait()
		for _, after := range []time.Duration{10, 20, 40, 80, 160, 320, 320, 320} {
			before := r.times()
			time.Sleep(after*time.Second - time.Millisecond)
			synctest.Wait()
			if r.times() != before {
				t.Fatalf("looked up before %d s were over", after)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if r.times() != before+1 {
				t.Fatalf("not looked up after %d s", after)
			}
			is(one)
		}
		r.set(nil, "a", "192.0.2.2")
		time.Sleep(320 * time.Second)
		synctest.Wait()
		if is(one) || !is(two) {
			t.Error("the change is not seen")
		}
		before := r.times()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if r.times() != before+1 {
			t.Error("after a change the pause did not begin anew")
		}
	})
}

func TestAnErrorKeepsTheLastAddresses(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "a", "192.0.2.1")
		is := h.Watch("a")
		synctest.Wait()
		r.set(errors.New("no server"), "a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if !is(one) {
			t.Error("the address was lost")
		}
	})
}

func TestANameNobodyAsksForIsForgotten(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "a", "192.0.2.1")
		is := h.Watch("a")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		before := r.times()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if r.times() != before {
			t.Error("still looked up")
		}
		if is(one) {
			t.Error("still known")
		}
		synctest.Wait()
		if !is(one) {
			t.Error("not looked up again when somebody asked")
		}
	})
}

func TestNamesAreLimited(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "last", "192.0.2.1")
		for i := range 1024 {
			h.Watch(fmt.Sprint(i))
		}
		is := h.Watch("last")
		time.Sleep(time.Minute)
		synctest.Wait()
		if is(one) {
			t.Error("the name beyond the limit is looked up")
		}
	})
}

func TestHostNamesInFields(t *testing.T) {
	withHosts(t, func(t *testing.T, h *syscalls.Hosts, r *resolver) {
		r.set(nil, "example.org", "93.184.216.34")
		src := syscalls.New(syscalls.Options{Hosts: h})
		is := src.Registry().Resolve("example.org")
		synctest.Wait()
		ev := src.Event(connect(tcp(1, "10.0.0.2:40000", "93.184.216.34:443"), "93.184.216.34:443", 0))
		for name, known := range map[string]string{"fd.sip.name": "example.org", "fd.rip.name": "example.org", "fd.cip.name": "", "fd.lip.name": ""} {
			f, _ := src.Registry().Lookup(name)
			v := f.Extract(ev, fields.Arg{})
			if !v.Valid || v.Str != known || !f.Resolves || is(v.Addr) != (known != "") {
				t.Errorf("%s is %+v", name, v)
			}
		}
		ev = src.Event(&probe.Record{Kind: probe.KindSocket, File: tcp(2, "", "")})
		f, _ := src.Registry().Lookup("fd.sip.name")
		if v := f.Extract(ev, fields.Arg{}); v.Valid {
			t.Errorf("of a socket without peer it is %+v", v)
		}
	})
}
