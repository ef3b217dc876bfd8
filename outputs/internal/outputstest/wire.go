package outputstest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// Wire is the contract test of an output that speaks another protocol than HTTP over a
// connection. What only that protocol has (its errors, its acknowledgements, partial
// failures) the output tests beside it.
type Wire struct {
	// Kind is the name the output is registered by.
	Kind string
	// Config is the YAML text of the output's section; ADDR in it stands for the server's
	// address, host:port, and HOST and PORT for its parts.
	Config string
	// Secret is a text of Config that must never show. Several are separated by spaces.
	Secret string
	// Variants are further configurations by name, whose messages have golden files too.
	Variants map[string]string
	// Wrong are configurations that must be refused, each with a part of the error.
	Wrong map[string]string
	// Serve starts a server that takes what the output sends: a real one, or one that
	// refuses what the real one would.
	Serve func(t *testing.T) Peer
	// Clean makes recorded messages fit for a golden file: it replaces what changes from
	// run to run.
	Clean func(text string) string
	// Datagrams says that nobody acknowledges: a server that is away, hangs or hangs up is
	// not noticed.
	Datagrams bool
	// NoAddress says that Config has no ADDR, as with a library that takes none: the faults
	// of connections are left out, and the output tests them itself.
	NoAddress bool
}

// Peer is a server for a Wire test. It lives until the test ends.
type Peer struct {
	// Address is where it listens, host:port.
	Address string
	// Take waits until n events have arrived since the last call, and returns what did as
	// text for a golden file: destination, headers or attributes, and the bytes.
	Take func(t *testing.T, n int) string
}

// Run runs the contract.
func (w Wire) Run(t *testing.T) {
	t.Helper()
	t.Run("messages match the golden files", w.golden)
	t.Run("wrong configuration is refused", w.wrong)
	t.Run("no secret shows", w.secrets)
	t.Run("concurrent sends all arrive", w.concurrent)
	t.Run("a cancelled context sends nothing", w.cancelled)
	if w.Datagrams || w.NoAddress {
		return
	}
	t.Run("a refused connection is tried again later", w.refused)
	t.Run("a server that hangs is left when the context ends", w.hangs)
	t.Run("a server that hangs up is tried again later", w.hangsUp)
}

func (w Wire) open(t *testing.T, text, address string) outputs.Sender {
	t.Helper()
	sender, err := New(w.Kind, w.with(text, address), Env(t))
	if err != nil {
		t.Fatalf("make sender: %v", err)
	}
	closer, ok := sender.(io.Closer)
	if !ok {
		t.Fatalf("a sender that holds a connection must be an io.Closer")
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sender
}

func (w Wire) with(text, address string) string {
	host, port, _ := net.SplitHostPort(address)
	return strings.NewReplacer("ADDR", address, "HOST", host, "PORT", port).Replace(text)
}

func (w Wire) clean(text, address string) string {
	if w.Clean != nil {
		text = w.Clean(text)
	}
	return strings.ReplaceAll(text, address, "ADDR")
}

func (w Wire) golden(t *testing.T) {
	variants := map[string]string{"messages": w.Config}
	maps.Copy(variants, w.Variants)
	for name, text := range variants {
		t.Run(name, func(t *testing.T) {
			NoLeak(t)
			peer := w.Serve(t)
			sender := w.open(t, text, peer.Address)
			var got strings.Builder
			send := func(title string, batch []event.Event) {
				if err := sender.Send(t.Context(), batch); err != nil {
					t.Errorf("%s: send: %v", title, err)
					return
				}
				fmt.Fprintf(&got, "-- %s --\n%s", title, shorten(w.clean(peer.Take(t, len(batch)), peer.Address)))
			}
			var all []event.Event
			for _, f := range Events() {
				send(f.Name, []event.Event{f.Event})
				all = append(all, f.Event)
			}
			if kind := Kind(t, w.Kind); kind.Batch > 1 {
				send("batch", all[:min(len(all), kind.Batch)])
			}
			Golden(t, "testdata/"+name+".golden", got.String())
		})
	}
}

func (w Wire) wrong(t *testing.T) {
	for text, want := range w.Wrong {
		_, err := New(w.Kind, w.with(text, "127.0.0.1:1"), Env(t))
		if err == nil {
			t.Errorf("%s: was accepted, want an error with %q", text, want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want an error with %q", text, err, want)
		}
		NoSecret(t, w.Secret, err.Error())
	}
}

func (w Wire) secrets(t *testing.T) {
	if w.Secret == "" {
		t.Skip("the output has no secret")
	}
	for secret := range strings.FieldsSeq(w.Secret) {
		if !strings.Contains(w.Config, secret) {
			t.Fatalf("the configuration does not hold the secret %q", secret)
		}
	}
	address := closedAddress(t)
	cfg, err := Load(Kind(t, w.Kind), w.with(w.Config, address))
	if err != nil {
		t.Fatal(err)
	}
	NoSecretIn(t, w.Secret, cfg)
	sender := w.open(t, w.Config, address)
	NoSecretIn(t, w.Secret, sender)
	if !w.NoAddress {
		NoSecret(t, w.Secret, fmt.Sprint(sender.Send(t.Context(), plain())))
	}
}

func (w Wire) concurrent(t *testing.T) {
	if Kind(t, w.Kind).Serial {
		t.Skip("the kind allows one Send at a time")
	}
	NoLeak(t)
	peer := w.Serve(t)
	sender := w.open(t, w.Config, peer.Address)
	const n = 16
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := sender.Send(t.Context(), plain()); err != nil {
				t.Errorf("send: %v", err)
			}
		})
	}
	wg.Wait()
	peer.Take(t, n)
}

func (w Wire) cancelled(t *testing.T) {
	NoLeak(t)
	peer := w.Serve(t)
	sender := w.open(t, w.Config, peer.Address)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Send(ctx, plain()); OutcomeOf(err) != NotNow {
		t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
	}
	if err := sender.Send(t.Context(), plain()); err != nil {
		t.Errorf("a send after it: %v", err)
	}
	peer.Take(t, 1)
}

func (w Wire) refused(t *testing.T) {
	NoLeak(t)
	sender := w.open(t, w.Config, closedAddress(t))
	w.wantNotNow(t, sender.Send(t.Context(), plain()))
}

func (w Wire) hangs(t *testing.T) {
	NoLeak(t)
	connected := make(chan struct{}, 1)
	address := w.listen(t, func(c net.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
		_, _ = io.Copy(io.Discard, c) // until the output leaves, or the test ends
	})
	sender := w.open(t, w.Config, address)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sender.Send(ctx, plain()) }()
	await(t, connected, "a connection")
	cancel()
	w.wantNotNow(t, await(t, done, "Send to return after its context ended"))
}

func (w Wire) hangsUp(t *testing.T) {
	NoLeak(t)
	address := w.listen(t, func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an orderly end
		}
	})
	sender := w.open(t, w.Config, address)
	ctx, cancel := context.WithTimeout(t.Context(), patience/4)
	defer cancel()
	w.wantNotNow(t, sender.Send(ctx, plain()))
}

func (w Wire) wantNotNow(t *testing.T, err error) {
	t.Helper()
	if OutcomeOf(err) != NotNow {
		t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
	}
	NoSecret(t, w.Secret, fmt.Sprint(err))
}

// listen accepts connections until the test ends, gives each to serve, and closes it after.
func (w Wire) listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// closedAddress is an address of this host where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
