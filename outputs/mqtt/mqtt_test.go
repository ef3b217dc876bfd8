package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const password = "s3cret1"

// watch records what clients publish.
type watch struct {
	broker.HookBase
	messages chan string
	connects chan string

	mu     sync.Mutex
	refuse bool // end the connection of whoever publishes
}

func (w *watch) ID() string { return "watch" }

func (w *watch) Provides(b byte) bool {
	return bytes.Contains([]byte{broker.OnConnectAuthenticate, broker.OnACLCheck, broker.OnPublish, broker.OnConnect}, []byte{b})
}

func (w *watch) OnConnectAuthenticate(_ *broker.Client, pk packets.Packet) bool {
	switch string(pk.Connect.Username) {
	case "saker":
		return string(pk.Connect.Password) == password
	case "t0ken":
		return !pk.Connect.PasswordFlag || len(pk.Connect.Password) == 0
	}
	return false
}

func (w *watch) OnACLCheck(*broker.Client, string, bool) bool { return true }

func (w *watch) OnConnect(cl *broker.Client, _ packets.Packet) error {
	w.connects <- fmt.Sprintf("%s %d", cl.ID, cl.Properties.ProtocolVersion)
	return nil
}

func (w *watch) OnPublish(cl *broker.Client, pk packets.Packet) (packets.Packet, error) {
	w.mu.Lock()
	refuse := w.refuse
	w.mu.Unlock()
	if refuse {
		cl.Stop(packets.ErrQuotaExceeded)
		return pk, packets.ErrRejectPacket
	}
	w.messages <- fmt.Sprintf("%s qos=%d retained=%t\n%s\n", pk.TopicName, pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.Payload)
	return pk, nil
}

func (w *watch) take(t *testing.T, n int) string {
	t.Helper()
	var all strings.Builder
	timeout := time.After(20 * time.Second)
	for range n {
		select {
		case m := <-w.messages:
			all.WriteString(m)
		case <-timeout:
			t.Fatalf("waited too long for %d messages", n)
		}
	}
	return all.String()
}

// serve runs a broker at address, until stop is called or the test ends.
func serve(t *testing.T, address string) (stop func(), _ *watch, _ string) {
	t.Helper()
	s := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	w := &watch{messages: make(chan string, 1000), connects: make(chan string, 100)}
	if err := s.AddHook(w, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddListener(listeners.NewNet("tcp", l)); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		// The broker's own Close waits for ever when a client leaves at the same moment: it
		// takes the lock of its clients twice.
		l.Close()
		for _, c := range s.Clients.GetAll() {
			_ = s.DisconnectClient(c, packets.ErrServerShuttingDown)
		}
		outputstest.Eventually(t, "all clients have left", func() bool { return s.Clients.Len() == 0 })
		s.Close()
	})
	t.Cleanup(stop)
	return stop, w, l.Addr().String()
}

func open(t *testing.T, address, extra string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("mqtt", fmt.Sprintf("{broker: 'tcp://%s', user: saker, password: %s%s}", address, password, extra), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return sender
}

var one = []event.Event{outputstest.Plain()}

func Test(t *testing.T) {
	outputstest.Wire{
		Kind:   "mqtt",
		Config: "{broker: 'tcp://ADDR', user: saker, password: s3cret1}",
		Secret: password,
		Variants: map[string]string{
			"qos1":     "{broker: 'mqtt://saker:s3cret1@ADDR', topic: a/b, qos: 1}",
			"qos2":     "{broker: ADDR, user: saker, password: s3cret1, qos: 2, retained: true}",
			"username": "{broker: ADDR, user: t0ken}",
		},
		Wrong: map[string]string{
			"{}":                                "broker",
			"{broker: 'http://s3cret1@ADDR'}":   "must begin with tcp://",
			"{broker: 'tcp://'}":                "must have a host",
			"{broker: 'tcp://%zz/s3cret1'}":     "must be an address",
			"{broker: 'unix://'}":               "must have a path",
			"{broker: ADDR, qos: 3}":            "must be 0, 1 or 2",
			"{broker: ADDR, topic: 'a/#'}":      "topic",
			"{broker: ADDR, password: s3cret1}": "user: is required with password",
			"{broker: ADDR, mutualtls: true}":   "client certificate",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			_, w, address := serve(t, "127.0.0.1:0")
			return outputstest.Peer{Address: address, Take: w.take}
		},
	}.Run(t)
}

func TestAWrongPasswordIsHeldAndNotShown(t *testing.T) {
	outputstest.NoLeak(t)
	_, _, address := serve(t, "127.0.0.1:0")
	err := open(t, address, "wr0ng").Send(t.Context(), one)
	if outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecretIn(t, "wr0ng", err)
}

func TestTheIdentifierIsRandomAndKept(t *testing.T) {
	outputstest.NoLeak(t)
	_, w, address := serve(t, "127.0.0.1:0")
	sender := open(t, address, "")
	for range 2 {
		if err := sender.Send(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.connects); n != 1 {
		t.Errorf("two events made %d connections", n)
	}
	if id := <-w.connects; !regexp.MustCompile(`^falcosidekick-[0-9a-f]{6} 4$`).MatchString(id) {
		t.Errorf("got %q", id)
	}
	if err := open(t, address, ", clientid: mine").Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if id := <-w.connects; !strings.HasPrefix(id, "mine-") {
		t.Errorf("got %q", id)
	}
}

func TestABrokerThatHangsUpInTheMiddleHasNotDelivered(t *testing.T) {
	for qos := range 3 {
		t.Run(fmt.Sprintf("qos %d", qos), func(t *testing.T) {
			outputstest.NoLeak(t)
			_, w, address := serve(t, "127.0.0.1:0")
			sender := open(t, address, fmt.Sprintf(", qos: %d", qos))
			if err := sender.Send(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			w.mu.Lock()
			w.refuse = true
			w.mu.Unlock()
			if err := sender.Send(t.Context(), one); outputstest.OutcomeOf(err) != outputstest.NotNow {
				t.Errorf("got %v", err)
			}
			w.mu.Lock()
			w.refuse = false
			w.mu.Unlock()
			if err := sender.Send(t.Context(), one); err != nil {
				t.Errorf("once the broker takes events again: %v", err)
			}
			w.take(t, 2)
		})
	}
}

func TestTheConnectionComesBackAfterTheBrokerWasAway(t *testing.T) {
	for qos := range 3 {
		t.Run(fmt.Sprintf("qos %d", qos), func(t *testing.T) {
			outputstest.NoLeak(t)
			stop, _, address := serve(t, "127.0.0.1:0")
			sender := open(t, address, fmt.Sprintf(", qos: %d", qos))
			if err := sender.Send(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			stop()
			if err := sender.Send(t.Context(), one); outputstest.OutcomeOf(err) != outputstest.NotNow {
				t.Errorf("without a broker: got %v", err)
			}
			_, w, _ := serve(t, address)
			if err := sender.Send(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			w.take(t, 1)
		})
	}
}

// silent is a broker that lets everybody in and then says nothing more.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = c.Write([]byte{0x20, 2, 0, 0})
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestABrokerThatAcknowledgesNothingIsLeftWhenTheContextEnds(t *testing.T) {
	for qos := range 3 {
		t.Run(fmt.Sprintf("qos %d", qos), func(t *testing.T) {
			outputstest.NoLeak(t)
			sender := open(t, silent(t), fmt.Sprintf(", qos: %d", qos))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := sender.Send(ctx, one); outputstest.OutcomeOf(err) != outputstest.NotNow {
				t.Errorf("got %v", err)
			}
			if err := sender.(io.Closer).Close(); err != nil { // before the broker waits for its clients
				t.Error(err)
			}
		})
	}
}
