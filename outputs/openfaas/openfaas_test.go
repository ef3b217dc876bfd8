package openfaas_test

import (
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/kubex/kubextest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/openfaas"
)

// kubeconfig sends what is for the API server to the test server.
const kubeconfig = `kubeconfig: '{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"s3cretT0ken"}}]}'`

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "openfaas",
		Config: "{functionname: f, " + kubeconfig + "}",
		Secret: "s3cretT0ken",
		Answer: kubextest.Function("s3cretT0ken"),
		Clean:  kubextest.CleanToken("s3cretT0ken"),
		Variants: map[string]string{
			// The proxy stands for the cluster's network.
			"direct":          "{functionname: f, proxy: URL}",
			"keys":            `{functionname: Falco-Handler, functionnamespace: fns, gatewayservice: gw, gatewaynamespace: gwns, gatewayport: 81, proxy: URL}`,
			"keys_kubeconfig": `{functionname: Falco-Handler, functionnamespace: fns, gatewayservice: gw, gatewaynamespace: gwns, gatewayport: 81, ` + kubeconfig + `}`,
		},
		Wrong: map[string]string{
			"{}":                              "function",
			"{functionname: a/b, proxy: URL}": "functionname",
			"{functionname: f, functionnamespace: ../x}":     "functionnamespace",
			"{functionname: f, gatewayport: 0}":              "gatewayport",
			"{functionname: f, gatewayservice: \"a b\"}":     "gatewayservice",
			"{functionname: f, gatewaynamespace: \"\"}":      "gatewaynamespace",
			"{functionname: f, kubeconfig: /does/not/exist}": "no such file",
			"{functionname: f, kubeconfig: '{s3cretT0ken'}":  "the kubeconfig is malformed",
		},
	}.Run(t)
}

func TestAnswersOfTheFunctionAreClassed(t *testing.T) {
	kubextest.Classes(t, func(address string) (outputs.Sender, error) {
		return outputstest.New("openfaas", "{functionname: f, proxy: '"+address+"'}", outputstest.Env(t))
	})
}
