package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// sender posts numbered events to a site, as a sensor does: what was not answered with 200
// is posted again, with the same UUID, until it is.
type sender struct {
	*site
	client *http.Client

	mu       sync.Mutex
	next     int
	again    []int        // were not acknowledged
	accepted map[int]bool // were
	refused  int          // answers other than 200, or none
	began    map[int]time.Time
}

func newSender(s *site) *sender {
	return &sender{
		site: s, accepted: map[int]bool{}, began: map[int]time.Time{},
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
}

// uuid is the UUID of event n.
func (s *sender) uuid(n int) string {
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", uint32(s.seed), uint16(s.seed>>32), n)
}

// numbered is what the tests' events have: their number and what rule they are of.
type numbered struct {
	UUID     string         `json:"uuid"`
	Rule     string         `json:"rule"`
	Source   string         `json:"source"`
	Priority string         `json:"priority"`
	Output   string         `json:"output"`
	Time     string         `json:"time"`
	Fields   map[string]int `json:"output_fields"`
}

// burst is the rule of the events.
const burst = "Burst"

func (s *sender) event(n int, rule string) []byte {
	body, err := json.Marshal(numbered{
		UUID: s.uuid(n), Rule: rule, Source: "syscall", Priority: "Warning", Output: fmt.Sprintf("event %d", n),
		Time: "2026-01-02T03:04:05.000000006Z", Fields: map[string]int{"n": n},
	})
	if err != nil {
		panic(err)
	}
	return body
}

// take returns the number of the event that is to be sent next.
func (s *sender) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) > 0 { // its time is that of the first try
		n := s.again[0]
		s.again = s.again[1:]
		return n
	}
	s.next++
	s.began[s.next] = time.Now()
	return s.next
}

// one sends the next event and reports whether it was acknowledged.
func (s *sender) one(ctx context.Context) bool {
	n := s.take()
	status, _, err := s.post(ctx, s.event(n, burst))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && status == http.StatusOK {
		s.accepted[n] = true
		return true
	}
	s.again = append(s.again, n)
	s.refused++
	return false
}

// post sends a body and returns the answer's status.
func (s *sender) post(ctx context.Context, body []byte) (status int, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ingest(""), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header, err
}

// mustSend sends count events, which all must be acknowledged in the end.
func (s *sender) mustSend(count int) {
	s.Helper()
	want := s.sum() + count
	s.eventually(fmt.Sprintf("%d events are acknowledged", count), func() error {
		for s.sum() < want {
			if !s.one(s.Context()) {
				return errNotYet
			}
		}
		return nil
	})
}

// settle sends what was not acknowledged until it is.
func (s *sender) settle() {
	s.Helper()
	s.eventually("all events are acknowledged", func() error {
		for s.unacknowledged() > 0 {
			if !s.one(s.Context()) {
				return errNotYet
			}
		}
		return nil
	})
}

// flow sends events one after the other, rate a second, until ctx ends or what is returned
// is called, which waits for the last answer.
func (s *sender) flow(rate int) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.one(context.WithoutCancel(ctx))
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// flood sends events from several goroutines as fast as they are answered, until ctx ends.
// A sender that is refused rests a little.
func (s *sender) flood(ctx context.Context, goroutines int, wg *sync.WaitGroup) {
	for range goroutines {
		wg.Go(func() {
			for ctx.Err() == nil {
				if !s.one(ctx) {
					rest(ctx, 5*time.Millisecond)
				}
			}
		})
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// sum is how many events were acknowledged.
func (s *sender) sum() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

func (s *sender) unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.again)
}

// missing returns the acknowledged events that the endpoint has not accepted.
func (s *sender) missing(e *endpoint) (lost []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := range s.accepted {
		if len(e.accepted[n]) == 0 {
			lost = append(lost, n)
		}
	}
	slices.Sort(lost)
	return lost
}

// arrived reports, as an error, what an endpoint lacks of the acknowledged events.
func (s *sender) arrived(e *endpoint) error {
	lost := s.missing(e)
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%s lacks %d of %d acknowledged events: %d…", e.name, len(lost), s.sum(), lost[:min(len(lost), 20)])
}

// waitArrived waits until endpoints have all acknowledged events.
func (s *sender) waitArrived(endpoints ...*endpoint) {
	s.Helper()
	for _, e := range endpoints {
		s.eventually("nothing is lost", func() error { return s.arrived(e) })
	}
}
