package trace

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

// The attributes, beside error.type of OpenTelemetry's conventions.
const (
	keyRule     = attribute.Key("saker.rule")
	keyPriority = attribute.Key("saker.priority")
	keySource   = attribute.Key("saker.source")
	keySender   = attribute.Key("saker.sender")
	keyBatch    = attribute.Key("saker.batch.size")
	keyOutput   = attribute.Key("saker.output")
	keyOutcome  = attribute.Key("saker.outcome")
	keyAttempt  = attribute.Key("saker.attempt")
)

// Ingest returns an observer that makes the roots of traces and passes everything to next;
// next itself when there are no traces.
func (t *Tracer) Ingest(next ingest.Observer) ingest.Observer {
	if t == nil {
		return next
	}
	return ingestObserver{next, t}
}

type ingestObserver struct {
	ingest.Observer
	*Tracer
}

// Accepted implements ingest.Observer.
func (o ingestObserver) Accepted(batch []event.Event, sender string, took time.Duration) {
	o.Observer.Accepted(batch, sender, took)
	began := time.Now().Add(-took)
	for i := range batch {
		e := &batch[i]
		id, ok := o.identify(e.UUID)
		if !ok {
			continue
		}
		attributes := []attribute.KeyValue{
			keyRule.String(e.Rule), keyPriority.String(strings.ToLower(e.Priority.String())), keySource.String(e.Source),
			keyBatch.Int(len(batch)),
		}
		if sender != "" {
			attributes = append(attributes, keySender.String(sender))
		}
		o.root(id, span{name: "ingest", kind: trace.SpanKindServer, began: began, took: took, attributes: attributes})
	}
}

// Journal returns a journal that does what next does and shows it in the traces; next
// itself when there are none.
func (t *Tracer) Journal(next ingest.Journal) ingest.Journal {
	if t == nil {
		return next
	}
	return tracedJournal{next, t}
}

type tracedJournal struct {
	ingest.Journal
	*Tracer
}

// Append implements ingest.Journal.
func (j tracedJournal) Append(ctx context.Context, batch []event.Event) error {
	began := time.Now()
	err := j.Journal.Append(ctx, batch)
	took := time.Since(began)
	for i := range batch {
		if id, ok := j.identify(batch[i].UUID); ok {
			j.child(id, span{
				name: "append", kind: trace.SpanKindInternal, began: began, took: took, problem: journalClass(err),
				attributes: []attribute.KeyValue{keyBatch.Int(len(batch))},
			})
		}
	}
	return err
}

// Deliver returns an observer that shows attempts in the traces and passes them to next;
// next itself when there are no traces.
func (t *Tracer) Deliver(next deliver.Observer) deliver.Observer {
	if t == nil {
		return next
	}
	return deliverObserver{next, t}
}

type deliverObserver struct {
	deliver.Observer
	*Tracer
}

// Attempted implements deliver.Observer.
func (o deliverObserver) Attempted(a deliver.Attempt) {
	o.Observer.Attempted(a)
	parts, partly := errors.AsType[outputs.Partial](a.Err)
	for i := range a.Batch {
		id, ok := o.identify(a.Batch[i].UUID)
		if !ok {
			continue
		}
		outcome, problem := a.Outcome, a.Err
		if partly && (outcome == deliver.Partly || parts[i] != nil) {
			outcome, problem = outcomeOf(parts[i]), parts[i]
		}
		o.child(id, span{
			name: "deliver " + a.Output, kind: trace.SpanKindClient, began: a.Began, took: a.Latency, problem: class(problem),
			attributes: []attribute.KeyValue{
				keyOutput.String(a.Output), keyOutcome.String(string(outcome)), keyAttempt.Int(a.Try), keyBatch.Int(len(a.Batch)),
			},
		})
	}
}

// outcomeOf names what a part of a batch ended with.
func outcomeOf(problem error) deliver.Outcome {
	switch {
	case problem == nil:
		return deliver.Delivered
	case outputs.Rejected(problem):
		return deliver.Rejected
	case outputs.Held(problem):
		return deliver.Held
	default:
		return deliver.Failed
	}
}

// Source returns a source that does what next does and shows dead letters in the traces;
// next itself when there are none.
func (t *Tracer) Source(next deliver.Source) deliver.Source {
	if t == nil {
		return next
	}
	return tracedSource{next, t}
}

type tracedSource struct {
	deliver.Source
	*Tracer
}

// Bury implements deliver.Source.
func (s tracedSource) Bury(ctx context.Context, d journal.DeadLetter) error {
	began := time.Now()
	err := s.Source.Bury(ctx, d)
	if id, ok := s.identify(d.Event.UUID); ok && err == nil {
		s.child(id, span{
			name: "dead letter", kind: trace.SpanKindInternal, began: began, took: time.Since(began), problem: "given_up",
			attributes: []attribute.KeyValue{keyOutput.String(d.Output), keyAttempt.Int(d.Attempts)},
		})
	}
	return err
}
