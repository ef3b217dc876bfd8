package spyderbat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// maxSources is the longest list of sources that is read, in bytes.
const maxSources = 8 << 20

// registration is whether the source is known to be there. Senders that find it missing at
// the same time may both register it, which does no harm.
type registration struct {
	mu   sync.Mutex
	done bool
}

func (r *registration) forget() { r.set(false) }

func (r *registration) set(done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = done
}

func (r *registration) known() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// ensure registers the source unless it is there. No event is at fault when that does not
// succeed.
func (r *registration) ensure(ctx context.Context, s *sender) error {
	if r.known() {
		return nil
	}
	there, err := s.isRegistered(ctx)
	if err == nil && !there {
		err = s.register(ctx)
		if err != nil {
			// Another forwarder may have been faster.
			if there, again := s.isRegistered(ctx); again == nil && there {
				err = nil
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("register the source: %w", err)
		if outputs.Rejected(err) {
			return outputs.Hold(errors.New(err.Error()))
		}
		return err
	}
	r.set(true)
	return nil
}

// isRegistered looks for the source among those of the organization.
func (s *sender) isRegistered(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.sources, http.NoBody)
	if err != nil {
		return false, errors.New("the address is not a valid URL")
	}
	req.Header = s.header()
	res, err := httpx.Exchange(s.http, req, maxSources, s.APIKey.Reveal()) //nolint:bodyclose // it has been read whole
	if err != nil {
		return false, err
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return false, err
	}
	if res.StatusCode/100 != 2 {
		return false, httpx.StatusError(res.StatusCode, res.Header, answer)
	}
	return has(answer, s.uid)
}

func (s *sender) register(ctx context.Context) error {
	return httpx.PostJSON(ctx, s.http, s.sources, sourceBody{s.Source, s.SourceDescription, s.uid}, s.header())
}
