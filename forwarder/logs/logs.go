// Package logs keeps what repeats from filling the log.
//
// It stands between slog and the handler that writes: a warning or an error goes through at
// once, and when it comes again within Interval it is counted in place of written. At the
// Interval's end one line says the latest of them and how many there were. Lines below the
// level of warnings pass as they are.
//
//	log ─▶ Summarize ─┬ first, or not a warning ─▶ next
//	                  └ again ─▶ count ─(Interval)─▶ next, with repeated=n
//
// Lines are the same when their level, message and attributes are, but for numbers, times,
// durations and the digits in an error's text, such as ports. Memory is bounded: of at most
// 1000 lines at a time it is known that they were written, and further ones pass.
package logs

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Interval is how long a line stands for those like it. It is a little less than a minute,
// so that who already says something once a minute is not held back.
const Interval = 55 * time.Second

const (
	// maxLines is the most lines that are known at once.
	maxLines = 1000
	// maxKeyBytes bounds what is kept of a line to know it again.
	maxKeyBytes = 1 << 10
)

// Summarize returns a handler that passes to next what does not repeat, and sums up what
// does.
func Summarize(next slog.Handler) slog.Handler {
	return handler{next: next, lines: &lines{known: map[string]*line{}}}
}

type handler struct {
	next slog.Handler
	// prefix is what With and WithGroup add to the key of a line.
	prefix string
	*lines
}

// lines are those that were written within the last Interval.
type lines struct {
	mu    sync.Mutex
	known map[string]*line
}

// line is one of them.
type line struct {
	until time.Time
	// repeated counts those like it that were not written; last and to are the latest of
	// them and where it goes.
	repeated int
	last     slog.Record
	to       slog.Handler
}

type answerKey struct{}

// Answer returns a context for lines that answer to what somebody has just done, such as a
// change of the configuration: they are written also when they repeat.
func Answer(ctx context.Context) context.Context { return context.WithValue(ctx, answerKey{}, true) }

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && ctx.Value(answerKey{}) == nil && h.repeats(h.key(r), r) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var key strings.Builder
	key.WriteString(h.prefix)
	for _, a := range attrs {
		addAttr(&key, a)
	}
	h.next, h.prefix = h.next.WithAttrs(attrs), key.String()
	return h
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	h.next, h.prefix = h.next.WithGroup(name), h.prefix+name+"{"
	return h
}

// repeats reports whether a line like r was written within the Interval, and counts r then.
func (h handler) repeats(key string, r slog.Record) bool {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.known[key]; l != nil && now.Before(l.until) {
		l.repeated++
		l.last, l.to = r.Clone(), h.next
		return true
	}
	if h.known[key] == nil && len(h.known) >= maxLines {
		return false
	}
	l := &line{until: now.Add(Interval)}
	h.known[key] = l
	time.AfterFunc(Interval, func() { h.end(key, l) })
	return false
}

// end writes what there is to say of l once its time is over. What repeats goes on being
// summed up.
func (s *lines) end(key string, l *line) {
	s.mu.Lock()
	n, last, to := l.repeated, l.last, l.to
	switch {
	case s.known[key] != l:
	case n == 0:
		delete(s.known, key)
	default:
		l.repeated, l.last, l.to = 0, slog.Record{}, nil
		l.until = time.Now().Add(Interval)
		time.AfterFunc(Interval, func() { s.end(key, l) })
	}
	s.mu.Unlock()
	if n > 0 {
		last.AddAttrs(slog.Int("repeated", n))
		_ = to.Handle(context.Background(), last)
	}
}

// key returns what lines that are the same have in common.
func (h handler) key(r slog.Record) string {
	var key strings.Builder
	key.WriteString(r.Level.String())
	key.WriteString(r.Message)
	key.WriteString(h.prefix)
	r.Attrs(func(a slog.Attr) bool {
		addAttr(&key, a)
		return key.Len() < maxKeyBytes
	})
	return key.String()[:min(key.Len(), maxKeyBytes)]
}

func addAttr(key *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve()
	key.WriteByte(0)
	key.WriteString(a.Key)
	switch v.Kind() {
	case slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindTime, slog.KindUint64:
	case slog.KindGroup:
		for _, inner := range v.Group() {
			addAttr(key, inner)
		}
	default:
		text := v.String()
		text = text[:min(len(text), maxKeyBytes)]
		if _, isError := v.Any().(error); isError || a.Key == "error" {
			text = strings.Map(withoutDigits, text)
		}
		key.WriteByte('=')
		key.WriteString(text)
	}
}

func withoutDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}
