package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Senders that mean ill, or are broken, beside a good one, which must not notice.
func TestBadSendersDisturbNoGoodOne(t *testing.T) {
	e := newEndpoint(t, "hook", nil)
	s := newSite(t, "webhook: {address: %q}\n", e.url)
	s.run()
	source := newSender(s)
	source.mustSend(100)
	stop := source.flow(50)
	defer stop()

	t.Run("500 connections that drip", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() { s.drip(ctx, i%5 == 0) })
		}
		before := source.sum()
		s.eventually("the good sender's events are taken meanwhile", func() error {
			if source.sum() < before+500 {
				return errNotYet
			}
			return nil
		})
		cancel()
		wg.Wait()
	})
	t.Run("bodies of 100 MB", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				// Half of them don't say how much comes.
				status, err := s.large(t.Context(), 100<<20, i%2 == 0)
				if err == nil && status != http.StatusRequestEntityTooLarge {
					t.Errorf("a body of 100 MB is answered with %d", status)
				}
			})
		}
		wg.Wait()
	})
	t.Run("10000-deep JSON", func(t *testing.T) {
		deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
		list := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
		for _, body := range []string{
			deep, list, strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000),
			`{"output":"x","priority":"Warning","rule":"r","output_fields":{"n":` + list + `}}`,
			`{"output":"x","priority":"Warning","rule":"r","output_fields":` + deep + `}`,
		} {
			code, _, err := source.post(t.Context(), []byte(body))
			if err != nil || code != http.StatusBadRequest {
				t.Errorf("%.70s… is answered with %d, %v", body, code, err)
			}
		}
	})

	stop()
	source.waitArrived(e)
	memory, goroutines := s.memory(), s.mustMetric("go_goroutines")
	t.Logf("%d events of the good sender, %d refused; %d MiB, %v goroutines", source.sum(), source.refused, memory, goroutines)
	s.stop()
	if source.refused > 0 {
		t.Errorf("%d events of the good sender were refused at first", source.refused)
	}
	if memory > 256 {
		t.Errorf("the forwarder takes %d MiB", memory)
	}
	if n := e.duplicates(); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

// drip sends a request byte by byte, in its header or in its body, again and again when the
// forwarder has enough of it, until ctx ends.
func (s *site) drip(ctx context.Context, header bool) {
	text := "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nX-Filler: "
	if !header {
		text += "x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
	}
	for ctx.Err() == nil {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", s.address, ingestPort))
		if err != nil {
			rest(ctx, 100*time.Millisecond)
			continue
		}
		_, err = io.WriteString(c, text)
		for err == nil && ctx.Err() == nil {
			rest(ctx, 200*time.Millisecond)
			_, err = c.Write([]byte{' '})
		}
		c.Close()
	}
}

// large sends a body of the given size, chunked or of a length told beforehand, and returns
// the answer's status. An error says that the forwarder hung up.
func (s *site) large(ctx context.Context, size int64, chunked bool) (status int, err error) {
	body := io.LimitReader(bufio.NewReader(blanks{}), size)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ingest(""), body)
	if err != nil {
		return 0, err
	}
	if !chunked {
		req.ContentLength = size
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// blanks is an endless text of blanks.
type blanks struct{}

// Read implements io.Reader.
func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
