package audit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/netutil"
)

const (
	// maxConnections is how many connections the webhook holds; an API server needs few.
	maxConnections = 256
	// The pauses that a client may make.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 5 * time.Minute
	// grace is how long requests may go on at the end.
	grace = 5 * time.Second
	// retryAfter is the pause asked for when the queue is full, in seconds.
	retryAfter = "1"
)

// webhook takes what the API server posts.
type webhook struct {
	Webhook
	source *Source
	tls    *tls.Config
	// token is the sum of the one that is asked for.
	token [sha256.Size]byte
	// told is when the log said last that requests were turned away, in Unix seconds.
	told atomic.Int64
}

func newWebhook(c Webhook, s *Source) (*webhook, error) {
	w := &webhook{Webhook: c, source: s, token: sha256.Sum256([]byte(c.Token.Reveal()))}
	if c.TLSCert != "" {
		var err error
		if w.tls, err = tlsConfig(c, s.log); err != nil {
			return nil, fmt.Errorf("set up the audit webhook: %w", err)
		}
	}
	return w, nil
}

func (w *webhook) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", w.Listen)
	if err != nil {
		return nil, err
	}
	return netutil.LimitListener(l, maxConnections), nil
}

// serve answers requests until ctx ends.
func (w *webhook) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: w, TLSConfig: w.tls,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(w.source.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if w.tls != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if server.Shutdown(last) != nil {
		server.Close()
	}
	<-ended //nolint:errcheck // a server that was closed ends with the error that it was
	return nil
}

// ServeHTTP takes a body. 200 means that all its events will be judged.
func (w *webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c := &w.source.counters
	if r.URL.Path != w.Path {
		c.refused.Add(1)
		http.NotFound(rw, r)
		return
	}
	if !w.authorized(r) {
		c.unauthorized.Add(1)
		w.tell("it has no token or a wrong one")
		rw.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
		http.Error(rw, "a bearer token is needed", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost {
		c.refused.Add(1)
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "audit events are posted", http.StatusMethodNotAllowed)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		c.refused.Add(1)
		http.Error(rw, "the Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	if r.ContentLength > MaxBodyBytes {
		w.tooLarge(rw)
		return
	}
	w.take(rw, r)
}

// authorized says whether the request has the token, if one is asked for. A client
// certificate has been checked before.
func (w *webhook) authorized(r *http.Request) bool {
	if w.Token.IsZero() {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], w.token[:]) == 1
}

// tell logs that a request was turned away, unless it did so less than dropInterval ago. The
// counts say how many there were.
func (w *webhook) tell(why string) {
	now, last := time.Now().Unix(), w.told.Load()
	if now-last >= int64(dropInterval/time.Second) && w.told.CompareAndSwap(last, now) {
		w.source.log.Warn("the audit webhook turned a request away", "reason", why)
	}
}

func (w *webhook) tooLarge(rw http.ResponseWriter) {
	w.source.counters.bodyLarge.Add(1)
	w.tell("the body is too large")
	http.Error(rw, fmt.Sprintf("the body must not be larger than %d MiB", MaxBodyBytes>>20), http.StatusRequestEntityTooLarge)
}

func (w *webhook) busy(rw http.ResponseWriter) {
	w.source.counters.busy.Add(1)
	w.tell("the queue is full")
	rw.Header().Set("Retry-After", retryAfter)
	http.Error(rw, "there are too many audit events at once, try again", http.StatusServiceUnavailable)
}

// take reads a body and puts its events into the queue, whose room it reserves before.
func (w *webhook) take(rw http.ResponseWriter, r *http.Request) {
	q, room := w.source.queue, r.ContentLength
	if room < 0 {
		room = MaxBodyBytes
	}
	if !q.reserve(room) {
		w.busy(rw)
		return
	}
	body, err := readBody(http.MaxBytesReader(rw, r.Body, MaxBodyBytes), r.ContentLength)
	if spare := room - int64(len(body)); spare > 0 {
		q.release(spare)
		room -= spare
	}
	var events []string
	if err == nil {
		events, err = Split(body)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		q.release(room)
		w.tooLarge(rw)
		return
	}
	if err != nil {
		q.release(room)
		w.source.counters.invalid.Add(1)
		w.source.log.Debug("a request to the audit webhook was refused", "error", err)
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if !q.offer(delivery{events: events, size: room}) {
		q.release(room)
		w.busy(rw)
		return
	}
	w.source.counters.accepted.Add(1)
}

// readBody reads a body of a known length, or -1. What was read of one that breaks off is
// not returned.
func readBody(body io.Reader, length int64) (string, error) {
	var b []byte
	var err error
	if length >= 0 {
		b = make([]byte, length)
		_, err = io.ReadFull(body, b)
	} else {
		b, err = io.ReadAll(body)
	}
	if err != nil {
		return "", fmt.Errorf("read the body: %w", err)
	}
	// Nothing else has the bytes.
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}
