package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
	"github.com/saker-security/saker/forwarder/ingest/adapter/alertmanager"
	"github.com/saker-security/saker/forwarder/ingest/adapter/cloudevents"
	"github.com/saker-security/saker/forwarder/ingest/adapter/generic"
	"github.com/saker-security/saker/forwarder/ingest/adapter/tetragon"
	"github.com/saker-security/saker/forwarder/ingest/adapter/tracee"
)

const (
	// adapterPath is where the adapters' paths begin, genericPath where those of the generic
	// mappings begin below it.
	adapterPath = "/ingest/"
	genericPath = "generic/"
)

// Config is the section "ingest".
type Config struct {
	Generic  []generic.Mapping `key:"generic" doc:"Mappings of any sender's JSON to events. Each takes what is POSTed to /ingest/generic/NAME; its keys are CEL expressions over body, item, headers and now."`
	K8sAudit K8sAudit          `key:"k8saudit"`
}

// K8sAudit is the section "ingest.k8saudit".
type K8sAudit struct {
	Enabled    bool     `key:"enabled" doc:"Takes Kubernetes audit events at /ingest/k8s-audit and holds them against rules of the source k8s_audit."`
	RulesFiles []string `key:"rules_files" doc:"Rules files, and folders of them. None means the rules that Saker ships."`
}

// Validate refuses two mappings of the same name.
func (c Config) Validate() error {
	names := map[string]bool{}
	for _, m := range c.Generic {
		if names[m.Name] {
			return config.At("generic", fmt.Errorf("the name %q is used twice", m.Name))
		}
		names[m.Name] = true
	}
	return nil
}

// Mappings compiles the generic mappings, for Options.Generic.
func (c Config) Mappings() (map[string]adapter.Decode, error) {
	all := map[string]adapter.Decode{}
	for _, m := range c.Generic {
		decode, err := generic.New(m)
		if err != nil {
			return nil, fmt.Errorf("set up the mapping %q: %w", m.Name, err)
		}
		all[m.Name] = decode
	}
	return all, nil
}

const (
	// maxValues is the most JSON values that a body for an adapter may have.
	maxValues = 200_000
	// valueBytes is the memory that a JSON value takes while it is decoded, beside its text.
	valueBytes = 64
)

// adapters returns what decodes the bodies of each path below adapterPath.
func adapters(mappings map[string]adapter.Decode, judge AuditJudge) map[string]adapter.Decode {
	all := map[string]adapter.Decode{
		"alertmanager": alertmanager.Decode,
		"cloudevents":  cloudevents.Decode,
		"tetragon":     tetragon.Decode,
		"tracee":       tracee.Decode,
	}
	for name, decode := range mappings {
		all[genericPath+name] = decode
	}
	if judge != nil {
		all[auditPath] = judged(judge)
	}
	return all
}

// adapt takes the events of a request for the adapter called name.
func (h *Handler) adapt(w http.ResponseWriter, r *http.Request, name string) {
	decode, ok := h.adapters[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h.accept(w, r, func(h *Handler, w http.ResponseWriter, r *http.Request) ([]event.Event, int, *refusal) {
		b := newBuffer(r.ContentLength)
		defer h.release(b)
		if no := h.readBody(w, r, b); no != nil {
			return nil, len(b.data), no
		}
		batch, no := h.decodeWith(decode, r, b)
		return batch, len(b.data), no
	})
}

// decodeWith decodes a body with an adapter. What decoding takes is measured first and
// taken from the budget of the bodies.
func (h *Handler) decodeWith(decode adapter.Decode, r *http.Request, b *buffer) ([]event.Event, *refusal) {
	values, depth := shape(b.data)
	switch {
	case depth > event.MaxDepth:
		err := fmt.Errorf("must not be nested deeper than %d levels", event.MaxDepth)
		return nil, invalid(err, err.Error())
	case values > maxValues:
		return nil, &refusal{
			why: ReasonTooLarge, status: http.StatusRequestEntityTooLarge, text: textTooLarge,
			detail: fmt.Sprintf("The limit is %d JSON values in one request", maxValues),
		}
	}
	cost := int64(values) * valueBytes
	if !h.bytes.take(cost, 0) {
		return nil, overloaded()
	}
	b.taken += cost
	batch, err := decode(adapter.Message{Header: r.Header, Body: b.data, Now: time.Now(), MaxEvents: h.Limits.MaxEvents})
	if errors.Is(err, adapter.ErrTooMany) {
		return nil, tooMany(h.Limits.MaxEvents)
	}
	if err != nil {
		return nil, invalid(err, err.Error())
	}
	return batch, nil
}

// shape returns about how many values JSON text has, never too few, and how deep its
// objects and arrays are nested. For other text it returns anything.
func shape(text []byte) (values, depth int) {
	values = 1
	open, inString := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{', '[':
			values++
			open++
			depth = max(depth, open)
		case '}', ']':
			open--
		case ',', ':':
			values++
		}
	}
	return values, depth
}
