package nats

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/outputs"
)

// publishDenied finds the subject in what the server says.
var publishDenied = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// denials collects which subjects the server does not let us publish on. It tells them
// beside the answers, and always before it answers the ping that follows; the client hands
// them over in a goroutine of its own, in their order.
type denials struct {
	mu       sync.Mutex
	subjects map[string]error
	other    error // of something else than publishing
	last     error
	heard    chan struct{}

	// waited is the last error that since has waited for.
	waited error
}

func newDenials() *denials {
	return &denials{subjects: map[string]error{}, heard: make(chan struct{}, 1)}
}

// hear is the client's handler of errors.
func (d *denials) hear(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	if m := publishDenied.FindStringSubmatch(err.Error()); m != nil {
		d.subjects[m[1]] = err
	} else {
		d.other = err
	}
	select {
	case d.heard <- struct{}{}:
	default:
	}
}

// since returns what was denied since the last call. latest is the connection's last
// error: when it is a new denial, it is waited for, and with it all before it.
func (d *denials) since(ctx context.Context, latest error) (map[string]error, error) {
	if latest == nil || latest == d.waited || !errors.Is(latest, nats.ErrPermissionViolation) { //nolint:errorlint // the very same error is meant
		return nil, nil
	}
	for !d.has(latest) {
		select {
		case <-d.heard:
		case <-ctx.Done():
			return nil, fmt.Errorf("publish to NATS: %w", ctx.Err())
		}
	}
	d.waited = latest
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.other != nil {
		return nil, outputs.Hold(d.other)
	}
	denied := d.subjects
	d.subjects = map[string]error{}
	return denied, nil
}

func (d *denials) has(err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last == err //nolint:errorlint // the very same error is meant
}
