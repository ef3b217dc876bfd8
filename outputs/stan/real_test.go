package stan

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/natsx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRealServerStoresEveryEvent(t *testing.T) {
	address := outputstest.StartAddress(t, outputstest.Program{
		Module: "nats-streaming-server",
		Args: func(address, _ string) []string {
			_, port, _ := strings.Cut(address, ":")
			return []string{"-a", "127.0.0.1", "-p", port, "-cid", "falco", "-st", "MEMORY", "--user", "saker", "--pass", password}
		},
		// NATS listens before the streaming server answers on it.
		IsUp: func(_ context.Context, address string) error {
			c, err := stan.Connect("falco", "probe", stan.NatsURL("nats://saker:"+password+"@"+address), stan.ConnectWait(time.Second))
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	reader, err := stan.Connect("falco", "reader", stan.NatsURL("nats://saker:"+password+"@"+address), stan.ConnectWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	sender := open(t, address, "saker")
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	if err := sender.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	want, left := map[string]int{}, 0
	for _, e := range batch {
		subject := natsx.Subject("falco.<priority>.<rule>", e)
		want[subject+" "+string(e.AppendJSON(nil))]++
		left++
	}
	messages := make(chan string, 100)
	subscribed := map[string]bool{}
	for _, e := range batch {
		subject := natsx.Subject("falco.<priority>.<rule>", e)
		if subscribed[subject] {
			continue
		}
		subscribed[subject] = true
		if _, err := reader.Subscribe(subject, func(m *stan.Msg) { messages <- m.Subject + " " + string(m.Data) }, stan.DeliverAllAvailable()); err != nil {
			t.Fatal(err)
		}
	}
	for timeout := time.After(20 * time.Second); left > 0; left-- {
		select {
		case m := <-messages:
			if want[m]--; want[m] < 0 {
				t.Errorf("got %s, which was not sent or came twice", m)
			}
		case <-timeout:
			t.Fatalf("%d messages are missing", left)
		}
	}
	t.Run("a client id is refused while it is taken, and free after a broken connection", func(t *testing.T) {
		second := open(t, address, "saker")
		if err := second.Send(t.Context(), plain); outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.Contains(err.Error(), "already registered") {
			t.Errorf("got %v", err)
		}
		drop(sender)
		if err := second.Send(t.Context(), plain); err != nil {
			t.Errorf("after the first one's connection broke: %v", err)
		}
	})
}

// drop breaks the connection of a sender without a goodbye.
func drop(s outputs.Sender) { s.(*sender).drop() }
