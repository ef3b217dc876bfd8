package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxStreams is the most streams open at once.
	maxStreams = 128
	// streamEvents every streamPause is the most a stream sends; a browser shows no more.
	streamEvents = 200
	streamPause  = 200 * time.Millisecond
	// heartbeat keeps proxies from closing a quiet stream.
	heartbeat = 15 * time.Second
	// writeTimeout is how long a client may take to read what it is sent before it is
	// dropped.
	writeTimeout = 10 * time.Second
)

// stream sends events as they come, as server-sent events: "alert" with the place in the
// journal as id, and "gap" with the number of those left out. It goes on after the place
// that the client has seen last (the header Last-Event-ID, which browsers send when they
// connect again, or the parameter "after"), or else with the next event.
func (a *API) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "too many streams are open")
		return
	}
	leave := a.Feed.enter(r.Context())
	defer leave()
	seen, err := a.resumeAt(r)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	client := http.NewResponseController(w)
	// The server's own deadlines are for requests that end.
	_ = client.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")

	send := func(text []byte) bool {
		_ = client.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.Write(text)
		return err == nil && client.Flush() == nil
	}
	if !send([]byte("retry: 2000\n\n")) {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		found, skipped, changed := a.Events.after(seen, streamEvents)
		if len(found) > 0 {
			if !send(frames(found, skipped)) {
				return
			}
			seen = found[len(found)-1].sequence
			if !a.pause(r) {
				return
			}
			continue
		}
		select {
		case <-changed:
		case <-beat.C:
			if !send([]byte(": still here\n\n")) {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.stopped:
			return
		}
	}
}

// pause keeps a stream to its rate; false when it is to end.
func (a *API) pause(r *http.Request) bool {
	t := time.NewTimer(streamPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-a.stopped:
	}
	return false
}

func (a *API) resumeAt(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	_, last := a.Events.newest(0)
	if text == "" {
		return last, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the place to go on after must be a number, not %q", text)
	}
	if n > last {
		// The client has seen another journal, one that was deleted since.
		n = 0
	}
	return n, nil
}

// frames renders events in the event-stream format. Their JSON has no line breaks.
func frames(items []item, skipped uint64) []byte {
	var b bytes.Buffer
	if skipped > 0 {
		fmt.Fprintf(&b, "event: gap\ndata: {\"skipped\":%d}\n\n", skipped)
	}
	for _, it := range items {
		fmt.Fprintf(&b, "id: %d\nevent: alert\ndata: %s\n\n", it.sequence, it.json)
	}
	return b.Bytes()
}
