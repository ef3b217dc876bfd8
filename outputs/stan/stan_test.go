package stan

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const password = "s3cret1"

// streaming is a server of NATS with the part of the streaming protocol that a publisher
// sees, spoken with the protocol's own messages. The real server is in real_test.go.
type streaming struct {
	nats     *server.Server
	received chan string

	mu      sync.Mutex
	clients map[string]bool
	refuse  func(*pb.PubMsg) string // says why a message is not stored, "" if it is
}

// serve runs a server on port, any if 0.
func serve(t *testing.T, port int) *streaming {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	n, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "saker", Password: password, MaxPayload: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(n.WaitForShutdown)
	t.Cleanup(n.Shutdown)
	if !n.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	s := &streaming{nats: n, received: make(chan string, 1000), clients: map[string]bool{}}
	s.answer(t)
	return s
}

func (s *streaming) answer(t *testing.T) {
	conn, err := nats.Connect("nats://"+s.nats.Addr().String(), nats.UserInfo("saker", password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	on := func(subject string, handle func(*nats.Msg)) {
		if _, err := conn.Subscribe(subject, handle); err != nil {
			t.Fatal(err)
		}
	}
	on("_STAN.discover.falco", func(m *nats.Msg) {
		var req pb.ConnectRequest
		if err := req.Unmarshal(m.Data); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		res := pb.ConnectResponse{PubPrefix: "_STAN.pub", CloseRequests: "_STAN.close", Protocol: 1, PingRequests: "_STAN.ping", PingInterval: 5, PingMaxOut: 3}
		if s.clients[req.ClientID] {
			res = pb.ConnectResponse{Error: "stan: clientID already registered"}
		}
		s.clients[req.ClientID] = true
		text, _ := res.Marshal()
		_ = m.Respond(text)
	})
	on("_STAN.close", func(m *nats.Msg) {
		var req pb.CloseRequest
		if err := req.Unmarshal(m.Data); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.clients, req.ClientID)
		text, _ := (&pb.CloseResponse{}).Marshal()
		_ = m.Respond(text)
	})
	on("_STAN.pub.>", func(m *nats.Msg) {
		var msg pb.PubMsg
		if err := msg.Unmarshal(m.Data); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		ack := pb.PubAck{Guid: msg.Guid}
		if s.refuse != nil {
			ack.Error = s.refuse(&msg)
		}
		if ack.Error == "" {
			s.received <- fmt.Sprintf("%s\n%s\n", msg.Subject, msg.Data)
		}
		text, _ := ack.Marshal()
		_ = m.Respond(text)
	})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (s *streaming) take(t *testing.T, n int) string {
	t.Helper()
	var all strings.Builder
	timeout := time.After(20 * time.Second)
	for range n {
		select {
		case m := <-s.received:
			all.WriteString(m)
		case <-timeout:
			t.Fatalf("waited too long for %d messages", n)
		}
	}
	return all.String()
}

func (s *streaming) address() string { return s.nats.Addr().String() }

func (s *streaming) open(t *testing.T) outputs.Sender { return open(t, s.address(), "saker") }

func open(t *testing.T, address, client string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("stan", fmt.Sprintf("{hostport: 'nats://saker:%s@%s', clusterid: falco, clientid: %s}", password, address, client), outputstest.Env(t))
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

var plain = []event.Event{outputstest.Plain()}

func Test(t *testing.T) {
	outputstest.Wire{
		Kind:   "stan",
		Config: "{hostport: 'nats://saker:s3cret1@ADDR', clusterid: falco, clientid: saker}",
		Secret: password,
		Variants: map[string]string{
			"channel": "{hostport: 'nats://ADDR', username: saker, password: s3cret1, clusterid: falco, clientid: saker, subjecttemplate: all.<priority>}",
		},
		Wrong: map[string]string{
			"{}":                                 "hostport",
			"{hostport: ADDR}":                   "clusterid",
			"{hostport: ADDR, clusterid: falco}": "clientid",
			"{hostport: ADDR, clusterid: falco, clientid: 'a.b'}":                  "clientid: must be letters",
			"{hostport: ADDR, clusterid: 'a b', clientid: a}":                      "clusterid",
			"{hostport: 'amqp://s3cret1@ADDR', clusterid: falco, clientid: saker}": "must begin with nats://",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			s := serve(t, 0)
			return outputstest.Peer{Address: s.address(), Take: s.take}
		},
	}.Run(t)
}

func TestARefusedEventIsTriedAgainAndTheRestDelivered(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, 0)
	s.refuse = func(m *pb.PubMsg) string {
		if strings.HasPrefix(m.Subject, "falco.alert.") {
			return "stan: too many channels"
		}
		return ""
	}
	sender := s.open(t)
	batch := []event.Event{outputstest.Plain(), outputstest.Plain(), outputstest.Plain()}
	batch[1].Priority = event.Alert
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), batch))
	if !ok || len(failed) != 1 || outputstest.OutcomeOf(failed[1]) != outputstest.NotNow || !strings.Contains(failed[1].Error(), "too many channels") {
		t.Errorf("got %v, want the second for later", failed)
	}
	s.take(t, 2)
}

func TestATooLargeEventIsRejectedAlone(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, 0)
	sender := s.open(t)
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", 2<<20)
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), []event.Event{outputstest.Plain(), large}))
	if !ok || len(failed) != 1 || !outputs.Rejected(failed[1]) {
		t.Errorf("got %v, want the second rejected", failed)
	}
	s.take(t, 1)
}

func TestAClientIDIsFreedAtTheEndAndRefusedWhileTaken(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, 0)
	first, second := s.open(t), s.open(t)
	if err := first.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if err := second.Send(t.Context(), plain); outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.Contains(fmt.Sprint(err), "already registered") {
		t.Errorf("got %v", err)
	}
	if err := first.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Send(t.Context(), plain); err != nil {
		t.Errorf("once the id is free: %v", err)
	}
}

func TestTheConnectionComesBackAfterTheServerWasAway(t *testing.T) {
	outputstest.NoLeak(t)
	first := serve(t, 0)
	sender := first.open(t)
	if err := sender.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	port := first.nats.Addr().(*net.TCPAddr).Port
	first.nats.Shutdown()
	first.nats.WaitForShutdown()
	if err := sender.Send(t.Context(), plain); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a server: got %v", err)
	}
	second := serve(t, port)
	if err := sender.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	second.take(t, 1)
}

func TestAConnectionThatTheServerGaveUpIsMadeAnew(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, 0)
	opened := s.open(t)
	if err := opened.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	opened.(*sender).lost <- stan.ErrMaxPings
	s.mu.Lock()
	clear(s.clients)
	s.mu.Unlock()
	if err := opened.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	s.take(t, 2)
}

func TestAnErrorOfOneEventOrOfAll(t *testing.T) {
	if err := publishError(fmt.Errorf("x: %w", nats.ErrMaxPayload)); !outputs.Rejected(err) {
		t.Errorf("got %v", err)
	}
	if err := publishError(errors.New("stan: publish ack timeout")); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("got %v", err)
	}
}
