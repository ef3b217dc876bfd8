package nats

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// serveStream runs a server with the stream FALCO, changed by change.
func serveStream(t *testing.T, change func(*jetstream.StreamConfig)) (*server.Server, jetstream.Stream) {
	t.Helper()
	s := serve(t, func(o *server.Options) { o.JetStream = true })
	conn, err := client.Connect("nats://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	c := jetstream.StreamConfig{Name: "FALCO", Subjects: []string{"falco.>"}, Storage: jetstream.MemoryStorage}
	if change != nil {
		change(&c)
	}
	stream, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s, stream
}

func stored(t *testing.T, stream jetstream.Stream) uint64 {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestAStreamStoresWhatIsSentTwiceOnce(t *testing.T) {
	outputstest.NoLeak(t)
	s, stream := serveStream(t, nil)
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', jetstream: true}", s.Addr()))
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	for range 2 {
		if err := sender.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := string(batch[0].AppendJSON(nil))
	if string(m.Data) != want || m.Header.Get("Nats-Msg-Id") != batch[0].UUID {
		t.Errorf("got %s %v", m.Data, m.Header)
	}
	ids := map[string]bool{}
	for _, e := range batch {
		ids[e.UUID] = true
	}
	if n := stored(t, stream); n != uint64(len(ids)) {
		t.Errorf("the stream has %d messages of %d events", n, len(ids))
	}
}

func TestASubjectWithoutAStreamIsHeldAndTheRestStored(t *testing.T) {
	outputstest.NoLeak(t)
	s, stream := serveStream(t, func(c *jetstream.StreamConfig) { c.Subjects = []string{"falco.error.>"} })
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', jetstream: true}", s.Addr()))
	batch := []event.Event{outputstest.Plain(), outputstest.Plain()}
	batch[0].Priority = event.Alert
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), batch))
	if !ok || len(failed) != 1 || !outputs.Held(failed[0]) || !strings.Contains(failed[0].Error(), "no stream takes this subject") {
		t.Errorf("got %v, want the first held", failed)
	}
	if n := stored(t, stream); n != 1 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAFullStreamIsTriedAgainLaterAndATooLargeEventIsNot(t *testing.T) {
	outputstest.NoLeak(t)
	s, _ := serveStream(t, func(c *jetstream.StreamConfig) {
		c.MaxMsgs, c.Discard, c.MaxMsgSize = 1, jetstream.DiscardNew, 2000
	})
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', jetstream: true}", s.Addr()))
	large, second := outputstest.Plain(), outputstest.Plain()
	large.Output, second.UUID = strings.Repeat("x", 3000), "00000000-0000-4000-8000-0000000000aa"
	large.UUID = "00000000-0000-4000-8000-0000000000bb"
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), []event.Event{large, outputstest.Plain(), second}))
	if !ok || len(failed) != 2 || !outputs.Rejected(failed[0]) || outputstest.OutcomeOf(failed[2]) != outputstest.NotNow {
		t.Errorf("got %v, want the first rejected and the third for later", failed)
	}
}

func TestWhoMayNotHearAcknowledgementsIsToldSo(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, func(o *server.Options) {
		users(o)
		o.JetStream = true
	})
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', jetstream: true, username: deaf, password: %s}", s.Addr(), password))
	err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(fmt.Sprint(err), "_INBOX") {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionThatEndsBeforeTheAcknowledgementsIsNotWaitedFor(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t, nil)
	mute, err := client.Connect("nats://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mute.Close)
	// Somebody who listens and never answers, and after the third event the server goes.
	events := make(chan *client.Msg, 10)
	if _, err := mute.ChanSubscribe("falco.>", events); err != nil {
		t.Fatal(err)
	}
	if err := mute.Flush(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			<-events
		}
		s.Shutdown()
	}()
	e := outputstest.Plain()
	sender := open(t, fmt.Sprintf("{hostport: 'nats://%s', jetstream: true}", s.Addr()))
	err = sender.Send(t.Context(), []event.Event{e, e, e})
	if outputstest.OutcomeOf(err) != outputstest.NotNow || strings.Contains(fmt.Sprint(err), "deadline") {
		t.Errorf("got %v", err)
	}
	<-done
}
