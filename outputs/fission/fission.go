// Package fission calls a function of Fission with each event.
package fission

import (
	_ "embed"
	"errors"
	"net/http"
	"strings"

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
		Name:  "fission",
		Title: "Fission",
		Doc:   "Calls a function of Fission with each event as JSON.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Function          string        `key:"function" required:"true" doc:"Name of the function; namespace/name for one that is not in the namespace default."`
	FunctionNamespace string        `key:"functionnamespace" default:"fission-function" inert:"Falcosidekick never reads it either; write namespace/name into function" doc:"Namespace of the function."`
	RouterService     string        `key:"routerservice" default:"router" doc:"Service of the Fission router."`
	RouterNamespace   string        `key:"routernamespace" default:"fission" doc:"Namespace of the router."`
	RouterPort        int           `key:"routerport" default:"80" doc:"Port of the router's service."`
	Kubeconfig        config.Secret `key:"kubeconfig" doc:"Path of a kubeconfig file, or its text, for a forwarder outside the cluster: the router is then called through the Kubernetes API server. Empty to call it directly. With it, the kubeconfig decides on certificates, not checkcert and mutualtls."`
}

// Validate checks names and port.
func (c Config) Validate() error {
	return errors.Join(
		config.At("function", checkFunction(c.Function)),
		config.At("routerservice", kubex.CheckName(c.RouterService)),
		config.At("routernamespace", kubex.CheckName(c.RouterNamespace)),
		config.At("routerport", kubex.CheckPort(c.RouterPort)),
	)
}

// checkFunction takes name and namespace/name.
func checkFunction(function string) error {
	namespace, name, two := strings.Cut(function, "/")
	if !two {
		return kubex.CheckName(function)
	}
	return errors.Join(kubex.CheckName(namespace), kubex.CheckName(name))
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	return kubex.NewCaller(function(c), c.Config, c.Kubeconfig.Reveal(), env)
}

// function is where the router is, and what it is told.
func function(c Config) kubex.Function {
	return kubex.Function{
		Namespace: c.RouterNamespace, Service: c.RouterService, Port: c.RouterPort,
		Host:    c.RouterService + "." + c.RouterNamespace + ".svc.cluster.local",
		Path:    "/fission-function/" + c.Function,
		Direct:  header,
		Proxied: header,
	}
}

func header(e event.Event) http.Header {
	h := kubex.EventID(e)
	h.Set("Content-Type", "application/json")
	return h
}
