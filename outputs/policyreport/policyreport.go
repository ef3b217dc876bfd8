// Package policyreport keeps events in policy reports, the custom resources that
// dashboards of Kubernetes policies read: one report a namespace, and one for what belongs
// to none.
//
// A report is one object with a list of results, so that each Send reads it, adds what is
// new, drops what is too much and writes it back, and does so again when somebody else has
// written in between. Events of one batch go into a report by one update. What is in the
// report already, in every member, is not added again, which makes a repeated Send harmless
// without anything in the results that Falcosidekick's do not have.
package policyreport

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"slices"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/kubex"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "policyreport",
		Title:   "PolicyReport",
		Doc:     "Keeps the last events of each namespace in a policy report, a custom resource of Kubernetes.",
		Page:    page,
		Batch:   200,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// The APIs that have reports.
const (
	wgpolicy    = "wgpolicyk8s.io/v1alpha2"
	openreports = "openreports.io/v1alpha1"
)

// Config is what a user sets.
type Config struct {
	Enabled         bool          `key:"enabled" required:"true" doc:"Turns the output on."`
	Kubeconfig      config.Secret `key:"kubeconfig" doc:"Path of a kubeconfig file, or its text, for a forwarder outside the cluster. In a pod, the service account is used and this is not needed."`
	API             string        `key:"api" default:"wgpolicyk8s.io/v1alpha2" oneof:"wgpolicyk8s.io/v1alpha2,openreports.io/v1alpha1" doc:"Which custom resources to write: PolicyReport and ClusterPolicyReport of the Kubernetes policy working group, or Report and ClusterReport of OpenReports, their successors."`
	FalcoNamespace  string        `key:"falconamespace" doc:"Namespace of the report for events whose own namespace does not exist. Empty for the forwarder's own, or default outside a cluster."`
	MaxEvents       int           `key:"maxevents" default:"1000" doc:"The most results that a report keeps. A report also keeps to 1 MiB."`
	PruneByPriority bool          `key:"prunebypriority" default:"false" doc:"Drop the least severe results first when a report is full, instead of the oldest."`
	Sources         []string      `key:"sources" default:"syscall, syscalls, k8s_audit, k8saudit" doc:"Sources of the events that are reported. Others are left out. Empty for all."`
	Proxy           config.Secret `key:"proxy" doc:"URL of the proxy to the API server: http, https or socks5, with user and password if need be. Empty for the kubeconfig's proxy-url or what HTTPS_PROXY and NO_PROXY say, none for no proxy."`
}

// Validate checks namespace, number and proxy.
func (c Config) Validate() error {
	var errs []error
	if c.FalcoNamespace != "" {
		errs = append(errs, config.At("falconamespace", kubex.CheckName(c.FalcoNamespace)))
	}
	if c.MaxEvents < 1 {
		errs = append(errs, config.At("maxevents", errors.New("must be at least 1")))
	}
	return errors.Join(append(errs, config.At("proxy", httpx.CheckProxy(c.Proxy.Reveal())))...)
}

type sender struct {
	Config
	kube     *kubex.Client
	fallback string // namespace
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	kube, err := kubex.New(kubex.Settings{Kubeconfig: c.Kubeconfig.Reveal(), PreferPod: true, Proxy: c.Proxy.Reveal()}, env)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, kube: kube, fallback: c.FalcoNamespace}, nil
}

// Send adds the events to the reports of their namespaces.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	groups := map[string][]int{} // places in the batch by namespace
	for i, e := range batch {
		if len(s.Sources) == 0 || slices.Contains(s.Sources, e.Source) {
			namespace := namespaceOf(e)
			groups[namespace] = append(groups[namespace], i)
		}
	}
	failed := outputs.Partial{}
	for _, namespace := range slices.Sorted(maps.Keys(groups)) {
		err := s.add(ctx, namespace, batch, groups[namespace])
		if err == nil {
			continue
		}
		if len(groups) == 1 {
			return err
		}
		for _, i := range groups[namespace] {
			failed[i] = err
		}
	}
	return failed.OrNil()
}

// add puts the events at the given places into the report of a namespace, or into the one
// that takes its place when it does not exist.
func (s *sender) add(ctx context.Context, namespace string, batch []event.Event, places []int) error {
	added := make([]result, 0, len(places))
	for _, i := range places {
		added = append(added, newResult(batch[i]))
	}
	err := s.update(ctx, s.place(namespace), added)
	if instead := s.instead(); namespace != "" && namespace != instead && kubex.NoNamespace(err) {
		return s.update(ctx, s.place(instead), added)
	}
	return err
}

// instead is the namespace for events whose own does not exist.
func (s *sender) instead() string {
	switch {
	case s.fallback != "":
		return s.fallback
	case s.kube.Namespace() != "":
		return s.kube.Namespace()
	}
	return "default"
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.kube.Close() }

// namespaceOf is the namespace whose report an event belongs to, "" for the cluster's.
func namespaceOf(e event.Event) string {
	namespace := kubex.NamespaceOf(e)
	if kubex.CheckName(namespace) != nil {
		return ""
	}
	return namespace
}
