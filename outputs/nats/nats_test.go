package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// serve runs a server in this process.
func serve(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, StoreDir: t.TempDir()}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s
}

// subscribe returns a function that waits for n messages and returns them as text.
func subscribe(t *testing.T, s *server.Server, options ...client.Option) func(t *testing.T, n int) string {
	t.Helper()
	conn, err := client.Connect("nats://"+s.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	sub, err := conn.SubscribeSync("falco.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, n int) string {
		t.Helper()
		var all strings.Builder
		for range n {
			m, err := sub.NextMsg(20 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s %v\n%s\n", m.Subject, map[string][]string(m.Header), m.Data)
		}
		return all.String()
	}
}

const password = "s3cret1"

func users(o *server.Options) {
	o.Users = []*server.User{
		{Username: "reader", Password: "reader"},
		{Username: "saker", Password: password, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"falco.alert.>", "falco.debug.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}},
		{Username: "deaf", Password: password, Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{">"}},
		}},
	}
}

func open(t *testing.T, config string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("nats", config, outputstest.Env(t))
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

func Test(t *testing.T) {
	outputstest.Wire{
		Kind:   "nats",
		Config: "{hostport: 'nats://saker:s3cret1@ADDR'}",
		Secret: password,
		Variants: map[string]string{
			"subjects": "{hostport: ADDR, subjecttemplate: 'falco.<rule>.all.<priority>', username: saker, password: s3cret1}",
		},
		Wrong: map[string]string{
			"{}":                             "hostport",
			"{hostport: 'http://ADDR'}":      "must begin with nats://",
			"{hostport: 'nats://:s3cret1@'}": "must be an address",
			"{hostport: ADDR, subjecttemplate: 'a.*'}":                   "subjecttemplate",
			"{hostport: ADDR, password: s3cret1}":                        "username: is required with password",
			"{hostport: ADDR, username: a, password: s3cret1, token: b}": "only one of",
			"{hostport: ADDR, nkeyseed: s3cret1}":                        "nkeyseed",
			"{hostport: ADDR, credentialsfile: /nowhere/saker.creds}":    "read credentials",
			"{hostport: ADDR, mutualtls: true}":                          "client certificate",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			s := serve(t, func(o *server.Options) { o.Username, o.Password = "saker", password })
			return outputstest.Peer{Address: s.Addr().String(), Take: subscribe(t, s, client.UserInfo("saker", password))}
		},
	}.Run(t)
}

func TestWhatTheServerDoesNotAllowIsHeldAndTheRestDelivered(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, users)
	take := subscribe(t, s, client.UserInfo("reader", "reader"))
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', username: saker, password: %s}", s.Addr(), password))
	batch := []event.Event{outputstest.Plain(), outputstest.Plain(), outputstest.Plain(), outputstest.Plain()}
	batch[1].Priority, batch[2].Priority = event.Alert, event.Debug
	for range 3 {
		failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), batch))
		if !ok || len(failed) != 2 || !outputs.Held(failed[1]) || !outputs.Held(failed[2]) {
			t.Fatalf("got %v, want the second and the third held", failed)
		}
		if got := take(t, 2); strings.Count(got, "falco.error.") != 2 {
			t.Errorf("got %s", got)
		}
		if err := sender.Send(t.Context(), batch[:1]); err != nil {
			t.Errorf("a batch without what is denied: %v", err)
		}
		take(t, 1)
	}
}

func TestAWrongPasswordIsHeldAndNotShown(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, users)
	for _, login := range []string{"username: saker, password: wr0ng", "token: wr0ng"} {
		err := open(t, fmt.Sprintf("{hostport: 'nats://%s', %s}", s.Addr(), login)).Send(t.Context(), []event.Event{outputstest.Plain()})
		if outputstest.OutcomeOf(err) != outputstest.Held {
			t.Errorf("%s: got %v", login, err)
		}
		outputstest.NoSecretIn(t, "wr0ng", err)
	}
}

func TestATooLargeEventIsRejectedAlone(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, func(o *server.Options) { o.MaxPayload = 4096 })
	take := subscribe(t, s)
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s'}", s.Addr()))
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", 5000)
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), []event.Event{outputstest.Plain(), large}))
	if !ok || len(failed) != 1 || !outputs.Rejected(failed[1]) {
		t.Errorf("got %v, want the second rejected", failed)
	}
	take(t, 1)
}

func TestTheConnectionComesBackAfterTheServerWasAway(t *testing.T) {
	outputstest.NoLeak(t)
	first := serve(t, nil)
	port := first.Addr().String()
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s'}", port))
	plain := []event.Event{outputstest.Plain()}
	if err := sender.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	first.Shutdown()
	first.WaitForShutdown()
	if err := sender.Send(t.Context(), plain); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a server: got %v", err)
	}
	second := serve(t, func(o *server.Options) { _, _ = fmt.Sscanf(port, "127.0.0.1:%d", &o.Port) })
	take := subscribe(t, second)
	if err := sender.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	take(t, 1)
}

func TestABatchArrivesInItsOrder(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, nil)
	take := subscribe(t, s)
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s'}", s.Addr()))
	var batch []event.Event
	for i := range 500 {
		e := outputstest.Plain()
		e.Output = fmt.Sprintf("event %03d.", i)
		batch = append(batch, e)
	}
	if err := sender.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := take(t, len(batch))
	for i := 1; i < len(batch); i++ {
		if strings.Index(got, batch[i-1].Output) > strings.Index(got, batch[i].Output) {
			t.Fatalf("event %d came before the one before it", i)
		}
	}
}

func TestADenialIsWaitedForUntilItWasHeard(t *testing.T) {
	d := newDenials()
	deny := func(subject string) error {
		return fmt.Errorf("%w: Permissions Violation for Publish to %q", client.ErrPermissionViolation, subject)
	}
	first, second := deny("falco.a"), deny("falco.b")
	var wg sync.WaitGroup
	wg.Go(func() {
		d.hear(nil, nil, first)
		d.hear(nil, nil, second)
	})
	denied, err := d.since(t.Context(), second)
	wg.Wait()
	if err != nil || len(denied) != 2 || !errors.Is(denied["falco.a"], first) || !errors.Is(denied["falco.b"], second) {
		t.Errorf("got %v, %v", denied, err)
	}
	if denied, err := d.since(t.Context(), second); len(denied) != 0 || err != nil {
		t.Errorf("what was told is told again: %v, %v", denied, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.since(ctx, deny("falco.c")); err == nil {
		t.Error("a denial that is never heard does not end with the context")
	}
}
