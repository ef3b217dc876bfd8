package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestWhatTheBrokerSaysHasItsOutcome(t *testing.T) {
	for code, want := range map[int]outputstest.Outcome{
		amqp091.PreconditionFailed: outputstest.Rejected,
		amqp091.ContentTooLarge:    outputstest.Rejected,
		amqp091.NotFound:           outputstest.Held,
		amqp091.AccessRefused:      outputstest.Held,
		amqp091.ConnectionForced:   outputstest.NotNow,
		amqp091.InternalError:      outputstest.NotNow,
		amqp091.ResourceError:      outputstest.NotNow,
	} {
		if got := outputstest.OutcomeOf(publishError(&amqp091.Error{Code: code})); got != want {
			t.Errorf("%d while publishing is %q, want %q", code, got, want)
		}
	}
	for err, want := range map[error]outputstest.Outcome{
		amqp091.ErrCredentials:    outputstest.Held,
		amqp091.ErrVhost:          outputstest.Held,
		amqp091.ErrSASL:           outputstest.Held,
		amqp091.ErrClosed:         outputstest.NotNow,
		errors.New("read: reset"): outputstest.NotNow,
		&amqp091.Error{Code: 530}: outputstest.Held,
	} {
		if got := outputstest.OutcomeOf(connectError(t.Context(), err)); got != want {
			t.Errorf("%v while connecting is %q, want %q", err, got, want)
		}
	}
}

func TestReturnedMessagesAreFoundInTheBatch(t *testing.T) {
	l := &link{returns: make(chan amqp091.Return, 10)}
	batch := []event.Event{outputstest.Plain(), outputstest.Plain(), outputstest.Plain()}
	for i := range batch {
		batch[i].UUID = fmt.Sprint(i)
	}
	for _, i := range []int{2, 0} {
		l.returns <- amqp091.Return{ReplyCode: 312, ReplyText: "NO_ROUTE", Body: batch[i].AppendJSON(nil)}
	}
	got := l.returned(batch)
	if len(got) != 2 || !outputs.Held(got[0]) || !outputs.Held(got[2]) || !strings.Contains(got[0].Error(), "NO_ROUTE (312)") {
		t.Errorf("got %v", got)
	}
	if again := l.returned(batch); len(again) != 0 {
		t.Errorf("what was told is told again: %v", again)
	}
	close(l.returns)
	if after := l.returned(batch); len(after) != 0 {
		t.Errorf("a closed channel returned %v", after)
	}
	l.forget()
}

func TestWhyTheChannelEnded(t *testing.T) {
	ended := make(chan *amqp091.Error, 1)
	l := &link{ended: ended}
	ended <- &amqp091.Error{Code: amqp091.NotFound, Reason: "NOT_FOUND - no exchange 'x'"}
	close(ended)
	for range 2 { // it stays known
		if err := l.why(t.Context()); !outputs.Held(err) || !strings.Contains(err.Error(), "no exchange") {
			t.Errorf("got %v", err)
		}
	}
	if err := (&link{ended: ended}).why(t.Context()); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a reason: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&link{ended: make(chan *amqp091.Error)}).why(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
