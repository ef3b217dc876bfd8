// Package kubeless calls a function of Kubeless with each event.
package kubeless

import (
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
		Name:  "kubeless",
		Title: "Kubeless",
		Doc:   "Calls a function of Kubeless with each event as JSON.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Function   string        `key:"function" required:"true" doc:"Name of the function, which is that of its service."`
	Namespace  string        `key:"namespace" required:"true" doc:"Namespace of the function."`
	Port       int           `key:"port" default:"8080" doc:"Port of the function's service."`
	Kubeconfig config.Secret `key:"kubeconfig" doc:"Path of a kubeconfig file, or its text, for a forwarder outside the cluster: the function is then called through the Kubernetes API server. Empty to call it directly. With it, the kubeconfig decides on certificates, not checkcert and mutualtls."`
}

// Validate checks names and port.
func (c Config) Validate() error {
	return errors.Join(
		config.At("function", kubex.CheckName(c.Function)),
		config.At("namespace", kubex.CheckName(c.Namespace)),
		config.At("port", kubex.CheckPort(c.Port)),
	)
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	return kubex.NewCaller(function(c), c.Config, c.Kubeconfig.Reveal(), env)
}

// function is where the function is, and what it is told.
func function(c Config) kubex.Function {
	header := func(e event.Event) http.Header {
		h := kubex.EventID(e)
		h.Set("Content-Type", "application/json")
		h.Set("event-type", "falco")
		h.Set("event-namespace", c.Namespace)
		return h
	}
	return kubex.Function{
		Namespace: c.Namespace, Service: c.Function, Port: c.Port,
		Host:    c.Function + "." + c.Namespace + ".svc.cluster.local",
		Direct:  header,
		Proxied: header,
	}
}
