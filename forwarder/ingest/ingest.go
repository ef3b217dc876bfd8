// Package ingest is the forwarder's front door: it takes alerts over HTTP, enriches them
// and answers once the journal has them.
//
//	request ─ method ─ credential ─ rate ─ body within limits ─ decode ─ enrich ─ validate ─ journal ─ 200
//
// It speaks Falcosidekick's protocol: events are POSTed to any path, a good one is answered
// with 200 and no body, a bad one with 400 and a fixed text. Beyond that it takes several
// events in one request (a JSON array, or objects one after the other as in NDJSON) and
// gzip. Below /ingest/ it takes the events of other senders, each in the form that it sends
// (package adapter); everything but the decoding is the same for them. Invariants:
//
//   - 200 means that every event of the request is in the journal.
//   - A request is taken whole or not at all: one bad event among several refuses them all,
//     and the answer names it.
//   - Whatever is not the sender's fault is answered with 503 and Retry-After.
//   - Memory is bounded: by the size of a body after decompression, by the bytes of all
//     bodies being read, and by the number of requests being worked on. A quarter of the
//     bytes is kept for small bodies, so that large ones that come slowly, or never, do
//     not keep single events out.
package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
	"github.com/saker-security/saker/forwarder/route"
)

// Journal is where events go. Append returns nil once all events of the batch are stored,
// and an error when the sender should try the whole batch again. It is called from many
// goroutines.
type Journal interface {
	Append(ctx context.Context, batch []event.Event) error
}

// Observer is told what became of requests. It is called from many goroutines and must
// not keep the batch. The sender is the name of the credential that the request came with:
// one of those configured, so that it may label metrics; "" for none.
type Observer interface {
	// Accepted is called once the events of a request are in the journal; took is the time
	// since the request's header was read.
	Accepted(batch []event.Event, sender string, took time.Duration)
	// Rejected is called for a request that was not accepted.
	Rejected(why Reason, sender string)
}

// Reason says why a request was not accepted.
type Reason string

// The reasons. There are no others, so they may label metrics; Reasons lists them.
const (
	ReasonMethod       Reason = "method"
	ReasonUnauthorized Reason = "unauthorized"
	ReasonCrossOrigin  Reason = "cross_origin"
	ReasonInvalid      Reason = "invalid"
	ReasonTooLarge     Reason = "too_large"
	ReasonOverload     Reason = "overload"
	ReasonRateLimit    Reason = "rate_limit"
	ReasonJournal      Reason = "journal"
	ReasonPanic        Reason = "panic"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonMethod, ReasonUnauthorized, ReasonCrossOrigin, ReasonInvalid, ReasonTooLarge,
		ReasonOverload, ReasonRateLimit, ReasonJournal, ReasonPanic,
	}
}

type constError string

func (e constError) Error() string { return string(e) }

// Options are what a Handler is made of. All but Generic, Audit and OwnSensor are needed.
type Options struct {
	Journal  Journal
	Enricher *Enricher
	// Guard knows the senders' credentials; auth.Senders makes it.
	Guard *auth.Guard
	// OwnSensor takes the token of the sensor in the same program, which is trusted also
	// where nobody has to authenticate; nil knows none.
	OwnSensor *auth.Guard
	Limits    Limits
	// Generic are the adapters behind /ingest/generic/ by name; Config.Mappings makes them.
	Generic map[string]adapter.Decode
	// Audit is behind /ingest/k8s-audit; without it there is no such path.
	Audit    AuditJudge
	Observer Observer
	// Metrics answers /metrics.
	Metrics http.Handler
	// NotReady returns the reasons why events cannot be taken now, none when they can.
	NotReady func() []string
	Log      *slog.Logger
}

// Handler answers ingest requests. Router gives it its paths.
type Handler struct {
	Options
	bytes    budget
	slots    chan struct{}
	rates    *rates
	adapters map[string]adapter.Decode
	// origins refuses what a browser sends on behalf of a foreign web page, which could
	// otherwise forge events at a forwarder on its reader's machine.
	origins *http.CrossOriginProtection
}

// New makes a Handler.
func New(o Options) *Handler {
	h := &Handler{
		Options: o, slots: make(chan struct{}, o.Limits.MaxRequests), origins: http.NewCrossOriginProtection(),
		rates: newRates(o.Limits.PerSender), adapters: adapters(o.Generic, o.Audit),
	}
	h.bytes.give(int64(o.Limits.MaxInFlightBytes))
	return h
}

// The answers' texts. The first two are Falcosidekick's.
const (
	textInvalid  = "Please send a valid request body"
	textMethod   = "Please send with post http method"
	textTooLarge = "Please send a smaller request body"
	textOverload = "Too many requests at once, please try again later"
	textRate     = "Too many events from this sender, please try again later"
	textJournal  = "The event could not be stored, please try again later"
	textOrigin   = "Requests from other web sites are refused"
	textPanic    = "Internal error"
)

const (
	slotWait = 5 * time.Second
	// The pauses asked for with Retry-After, in seconds.
	retryOverload = "1"
	retryJournal  = "5"
)

// reader gets the events of a request.
type reader func(h *Handler, w http.ResponseWriter, r *http.Request) (batch []event.Event, bytes int, no *refusal)

// readTest returns Falcosidekick's test event, whatever the request's body says.
func readTest(*Handler, http.ResponseWriter, *http.Request) ([]event.Event, int, *refusal) {
	return []event.Event{TestEvent(time.Now())}, 0, nil
}

// TestEvent returns the event that /test and the command "saker outputs test" send, as it
// is before enrichment.
func TestEvent(now time.Time) event.Event {
	return event.Event{
		Output: "This is a test from falcosidekick", Priority: event.Debug, Rule: route.TestRule,
		Time: now.UTC().Truncate(time.Second), Hostname: "falcosidekick", Tags: []string{"test", "example"},
		Fields: []event.Field{
			{Name: "proc.name", Value: event.StringValue("falcosidekick")},
			{Name: "user.name", Value: event.StringValue("falcosidekick")},
		},
	}
}

// accept takes the events that read gets of r.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, read reader) {
	start := time.Now()
	if r.Method != http.MethodPost {
		h.refuse(w, &refusal{why: ReasonMethod, status: http.StatusBadRequest, text: textMethod})
		return
	}
	if err := h.origins.Check(r); err != nil {
		h.refuse(w, &refusal{why: ReasonCrossOrigin, status: http.StatusForbidden, text: textOrigin, cause: err})
		return
	}
	from, ok := h.sender(r)
	if !ok {
		h.Observer.Rejected(ReasonUnauthorized, "")
		auth.Deny(w)
		return
	}
	batch, no := h.take(w, r, from, read)
	if no != nil {
		no.sender = from.name
		h.refuse(w, no)
		return
	}
	h.Observer.Accepted(batch, from.name, time.Since(start))
	w.WriteHeader(http.StatusOK)
}

// take stores the events of a request whose sender is known.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, from sender, read reader) ([]event.Event, *refusal) {
	rate := h.rates.of(from, r)
	if wait := rate.wait(time.Now()); wait > 0 {
		return nil, h.limited(rate, wait)
	}
	batch, size, no := read(h, w, r)
	if no == nil {
		batch, no = h.enrich(batch, from.trusted)
	}
	if wait := rate.charge(time.Now(), len(batch), size); no == nil && wait > 0 {
		no = h.limited(rate, wait)
	}
	if no == nil && len(batch) > 0 {
		no = h.store(r.Context(), batch)
	}
	return batch, no
}

func (h *Handler) enrich(batch []event.Event, keepUUID bool) ([]event.Event, *refusal) {
	for i := range batch {
		batch[i] = h.Enricher.Enrich(batch[i], keepUUID)
		if err := batch[i].Validate(); err != nil {
			return nil, invalid(err, placed(i, len(batch), err))
		}
	}
	return batch, nil
}

// store appends the batch. A sender that hangs up meanwhile changes nothing: half a batch
// in the journal would help nobody.
func (h *Handler) store(ctx context.Context, batch []event.Event) *refusal {
	if !h.enter(ctx) {
		return overloaded()
	}
	defer h.leave()
	if err := h.Journal.Append(context.WithoutCancel(ctx), batch); err != nil {
		return &refusal{why: ReasonJournal, status: http.StatusServiceUnavailable, text: textJournal, retry: retryJournal, cause: err}
	}
	return nil
}

// enter takes one of the slots for requests being worked on; false if none gets free.
func (h *Handler) enter(ctx context.Context) bool {
	select {
	case h.slots <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(slotWait)
	defer wait.Stop()
	select {
	case h.slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

func (h *Handler) leave() { <-h.slots }

// refusal is an answer other than 200.
type refusal struct {
	why    Reason
	status int
	// text is the answer's first line, detail the second, if any.
	text, detail string
	// retry is the value of Retry-After, if any.
	retry string
	// cause and sender are for the log; the cause is not told to the sender.
	cause  error
	sender string
}

func invalid(cause error, detail string) *refusal {
	return &refusal{why: ReasonInvalid, status: http.StatusBadRequest, text: textInvalid, detail: detail, cause: cause}
}

func overloaded() *refusal {
	return &refusal{why: ReasonOverload, status: http.StatusServiceUnavailable, text: textOverload, retry: retryOverload}
}

func (h *Handler) limited(of *rate, wait time.Duration) *refusal {
	of.tell(h.Log, time.Now())
	return &refusal{why: ReasonRateLimit, status: http.StatusTooManyRequests, text: textRate, retry: seconds(wait)}
}

func (h *Handler) refuse(w http.ResponseWriter, no *refusal) {
	h.Observer.Rejected(no.why, no.sender)
	if no.cause != nil {
		h.Log.Debug("a request was refused", "reason", string(no.why), "sender", no.sender, "error", no.cause)
	}
	if no.retry != "" {
		w.Header().Set("Retry-After", no.retry)
	}
	text := no.text
	if no.detail != "" {
		text += "\n" + no.detail
	}
	http.Error(w, text, no.status)
}
