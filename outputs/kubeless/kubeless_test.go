package kubeless_test

import (
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/kubex/kubextest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/kubeless"
)

// kubeconfig sends what is for the API server to the test server.
const kubeconfig = `kubeconfig: '{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"s3cretT0ken"}}]}'`

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "kubeless",
		Config: "{function: f, namespace: ns, " + kubeconfig + "}",
		Secret: "s3cretT0ken",
		Answer: kubextest.Function("s3cretT0ken"),
		Clean:  kubextest.CleanToken("s3cretT0ken"),
		Variants: map[string]string{
			// The proxy stands for the cluster's network.
			"direct":          "{function: f, namespace: ns, proxy: URL}",
			"keys":            `{function: handler, namespace: fns, port: 81, proxy: URL}`,
			"keys_kubeconfig": `{function: handler, namespace: fns, port: 81, ` + kubeconfig + `}`,
		},
		Wrong: map[string]string{
			"{}":                                     "function",
			"{function: f}":                          "namespace",
			"{function: f/g, namespace: ns}":         "function",
			"{function: f, namespace: ns/..}":        "namespace",
			"{function: f, namespace: ns, port: -1}": "port",
			"{function: f, namespace: ns, kubeconfig: /does/not/exist}": "no such file",
			"{function: f, namespace: ns, kubeconfig: '{s3cretT0ken'}":  "the kubeconfig is malformed",
		},
	}.Run(t)
}

func TestAnswersOfTheFunctionAreClassed(t *testing.T) {
	kubextest.Classes(t, func(address string) (outputs.Sender, error) {
		return outputstest.New("kubeless", "{function: f, namespace: ns, proxy: '"+address+"'}", outputstest.Env(t))
	})
}
