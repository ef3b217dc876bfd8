// Package kubernetesevents records events as Event objects of Kubernetes, beside those of
// the pod, object or node that they are about, where kubectl describe shows them.
package kubernetesevents

import (
	"context"
	_ "embed"
	"errors"
	"net/http"

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
		Name:  "kubernetesevents",
		Title: "Kubernetes Events",
		Doc:   "Records each event as an Event object of Kubernetes about the pod, object or node concerned.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	Enabled    bool          `key:"enabled" required:"true" doc:"Turns the output on."`
	Kubeconfig config.Secret `key:"kubeconfig" doc:"Path of a kubeconfig file, or its text, for a forwarder outside the cluster. In a pod, the service account is used and this is not needed."`
	Namespace  string        `key:"namespace" default:"default" doc:"Namespace of the Event objects about an object whose own namespace does not exist. Those about nodes are always in default, as Kubernetes demands."`
	Proxy      config.Secret `key:"proxy" doc:"URL of the proxy to the API server: http, https or socks5, with user and password if need be. Empty for the kubeconfig's proxy-url or what HTTPS_PROXY and NO_PROXY say, none for no proxy."`
}

// Validate checks namespace and proxy.
func (c Config) Validate() error {
	return errors.Join(
		config.At("namespace", kubex.CheckName(c.Namespace)),
		config.At("proxy", httpx.CheckProxy(c.Proxy.Reveal())),
	)
}

type sender struct {
	Config
	kube *kubex.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	kube, err := kubex.New(kubex.Settings{Kubeconfig: c.Kubeconfig.Reveal(), PreferPod: true, Proxy: c.Proxy.Reveal()}, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, kube}, nil
}

// Send creates the object. One that exists already is that of an earlier attempt, for its
// name holds the event's UUID.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	o := payload(batch[0])
	err := s.create(ctx, o)
	if kubex.NoNamespace(err) && o.Metadata.Namespace != s.Namespace {
		o.Metadata.Namespace = s.Namespace
		err = s.create(ctx, o)
	}
	return err
}

func (s *sender) create(ctx context.Context, o object) error {
	body, err := httpx.Encode(o)
	if err != nil {
		return err
	}
	path := kubex.Path("apis", "events.k8s.io", "v1", "namespaces", o.Metadata.Namespace, "events")
	_, err = s.kube.Do(ctx, http.MethodPost, path, body, nil)
	if kubex.Reason(err) == kubex.AlreadyExists {
		return nil
	}
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.kube.Close() }
