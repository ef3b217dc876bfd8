// Package openfaas calls a function of OpenFaaS with each event.
package openfaas

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
		Name:  "openfaas",
		Title: "OpenFaaS",
		Doc:   "Calls a function of OpenFaaS with each event as JSON.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	FunctionName      string        `key:"functionname" required:"true" doc:"Name of the function."`
	FunctionNamespace string        `key:"functionnamespace" default:"openfaas-fn" doc:"Namespace of the function."`
	GatewayService    string        `key:"gatewayservice" default:"gateway" doc:"Service of the OpenFaaS gateway."`
	GatewayNamespace  string        `key:"gatewaynamespace" default:"openfaas" doc:"Namespace of the gateway."`
	GatewayPort       int           `key:"gatewayport" default:"8080" doc:"Port of the gateway's service."`
	Kubeconfig        config.Secret `key:"kubeconfig" doc:"Path of a kubeconfig file, or its text, for a forwarder outside the cluster: the gateway is then called through the Kubernetes API server. Empty to call it directly. With it, the kubeconfig decides on certificates, not checkcert and mutualtls."`
}

// Validate checks names and port.
func (c Config) Validate() error {
	return errors.Join(
		config.At("functionname", kubex.CheckName(c.FunctionName)),
		config.At("functionnamespace", kubex.CheckName(c.FunctionNamespace)),
		config.At("gatewayservice", kubex.CheckName(c.GatewayService)),
		config.At("gatewaynamespace", kubex.CheckName(c.GatewayNamespace)),
		config.At("gatewayport", kubex.CheckPort(c.GatewayPort)),
	)
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	return kubex.NewCaller(function(c), c.Config, c.Kubeconfig.Reveal(), env)
}

// function is where the gateway is, and what it is told.
func function(c Config) kubex.Function {
	return kubex.Function{
		Namespace: c.GatewayNamespace, Service: c.GatewayService, Port: c.GatewayPort,
		Host:    c.GatewayService + "." + c.GatewayNamespace,
		Path:    "/function/" + c.FunctionName + "." + c.FunctionNamespace,
		Direct:  func(event.Event) http.Header { return nil },
		Proxied: kubex.EventID,
	}
}
