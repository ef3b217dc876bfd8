package ingest

import (
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// auditPath is the path below adapterPath that an API server posts audit events to.
const auditPath = "k8s-audit"

// AuditJudge holds Kubernetes audit events against rules. Judge returns the alerts for one
// posted body, none if nothing in it matches, and an error if the body has no audit events.
// It is called from many goroutines and must not keep the body. Events are not alerts: what
// an API server posts is thousands of requests an hour that nobody needs to hear of, so that
// the path is there only for a forwarder that has rules.
type AuditJudge interface {
	Judge(body []byte) ([]event.Event, error)
}

// judged is the adapter that lets a judge decide.
func judged(j AuditJudge) adapter.Decode {
	return func(m adapter.Message) ([]event.Event, error) {
		found, err := j.Judge(m.Body)
		if err != nil {
			return nil, err
		}
		if len(found) > m.MaxEvents {
			return nil, adapter.ErrTooMany
		}
		return found, nil
	}
}
