package policyreport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/kubex"
)

const (
	// attempts is how often an update is tried while others write in between.
	attempts = 8
	// maxResults is the most bytes of a report's results. The API server's store takes
	// objects of 1.5 MiB.
	maxResults = 1 << 20
	// leastResults is where a report is not made smaller for a store that takes less.
	leastResults = 64 << 10
)

// place is where a report is.
type place struct {
	api, kind string
	path      string // of the collection
	name      string
}

// place returns where the report of a namespace is; "" is the cluster's.
func (s *sender) place(namespace string) place {
	group, version := "wgpolicyk8s.io", "v1alpha2"
	kind, plural := "PolicyReport", "policyreports"
	if s.API == openreports {
		group, version = "openreports.io", "v1alpha1"
		kind, plural = "Report", "reports"
	}
	p := place{api: group + "/" + version, kind: kind, name: "falco-policy-report"}
	if namespace == "" {
		p.kind, p.name = "Cluster"+kind, "falco-cluster-policy-report"
		p.path = kubex.Path("apis", group, version, "cluster"+plural)
		return p
	}
	p.path = kubex.Path("apis", group, version, "namespaces", namespace, plural)
	return p
}

// report is a report as it is read and written. What we do not know of it stays as it is.
type report struct {
	Kind          string            `json:"kind"`
	APIVersion    string            `json:"apiVersion"`
	Metadata      json.RawMessage   `json:"metadata"`
	Source        string            `json:"source,omitempty"`
	Scope         json.RawMessage   `json:"scope,omitempty"`
	ScopeSelector json.RawMessage   `json:"scopeSelector,omitempty"`
	Configuration json.RawMessage   `json:"configuration,omitempty"`
	Summary       summary           `json:"summary"`
	Results       []json.RawMessage `json:"results,omitempty"`
}

// summary counts results.
type summary struct {
	Pass  int `json:"pass"`
	Fail  int `json:"fail"`
	Warn  int `json:"warn"`
	Error int `json:"error"`
	Skip  int `json:"skip"`
}

func newReport(p place) report {
	r := report{
		Kind: p.kind, APIVersion: p.api,
		Metadata: json.RawMessage(`{"name":"` + p.name + `","labels":{"app.kubernetes.io/managed-by":"falcosidekick"}}`),
	}
	if p.api == openreports {
		r.Source = source
	}
	return r
}

// update adds results to the report at p, which it creates if need be.
func (s *sender) update(ctx context.Context, p place, added []result) error {
	limit := maxResults
	for range attempts {
		err := s.once(ctx, p, added, limit)
		switch reason := kubex.Reason(err); {
		case err == nil:
			return nil
		case reason == kubex.Conflict || reason == kubex.AlreadyExists || gone(err, p):
		case tooLarge(err) && limit > leastResults:
			limit /= 2
		default:
			return explain(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("update %s %s: others wrote in between, %d times", p.kind, p.name, attempts)
}

// once reads, changes and writes the report.
func (s *sender) once(ctx context.Context, p place, added []result, limit int) error {
	method, path := http.MethodPut, p.path+kubex.Path(p.name)
	var r report
	answer, err := s.kube.Do(ctx, http.MethodGet, path, nil, nil)
	switch {
	case kubex.Reason(err) == kubex.NotFound:
		method, path, r = http.MethodPost, p.path, newReport(p)
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(answer, &r); err != nil || len(r.Metadata) == 0 {
			return errors.New("the Kubernetes API's answer is not a report")
		}
		r.Kind, r.APIVersion = p.kind, p.api
	}
	changed, err := r.add(added, s.MaxEvents, limit, s.PruneByPriority)
	if err != nil || !changed {
		return err
	}
	body, err := httpx.Encode(r)
	if err != nil {
		return err
	}
	_, err = s.kube.Do(ctx, method, path, body, onlyMetadata)
	return err
}

// onlyMetadata asks the API server not to send back the whole report.
var onlyMetadata = http.Header{"Accept": {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"}}

// gone reports whether the report was deleted after it was read.
func gone(err error, p place) bool {
	e, ok := errors.AsType[*kubex.Error](err)
	return ok && e.Reason == kubex.NotFound && e.Name == p.name
}

// tooLarge reports whether the API server or its store says that the report is too large.
func tooLarge(err error) bool {
	e, ok := errors.AsType[*kubex.Error](err)
	return ok && (e.Code == http.StatusRequestEntityTooLarge || e.Message == "etcdserver: request is too large")
}

// explain classes what only a report's update can mean: all reports have the same form, so
// that one of a form that the server does not take waits for who installs the right custom
// resources.
func explain(err error) error {
	e, ok := errors.AsType[*kubex.Error](err)
	switch {
	case !ok:
		return err
	case e.Code == http.StatusUnprocessableEntity && e.Reason == "Invalid":
		return outputs.Hold(fmt.Errorf("the custom resources installed are of another form: %w", e))
	case e.Code == http.StatusNotFound && e.Reason == "":
		return outputs.Hold(fmt.Errorf("the custom resources of policy reports are not installed: %w", e))
	}
	return err
}
