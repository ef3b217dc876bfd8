package fission_test

import (
	"testing"

	"github.com/saker-security/saker/outputs"
	_ "github.com/saker-security/saker/outputs/fission"
	"github.com/saker-security/saker/outputs/internal/kubex/kubextest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// kubeconfig sends what is for the API server to the test server.
const kubeconfig = `kubeconfig: '{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"s3cretT0ken"}}]}'`

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "fission",
		Config: "{function: f, " + kubeconfig + "}",
		Secret: "s3cretT0ken",
		Answer: kubextest.Function("s3cretT0ken"),
		Clean:  kubextest.CleanToken("s3cretT0ken"),
		Variants: map[string]string{
			// The proxy stands for the cluster's network.
			"direct":          "{function: f, proxy: URL}",
			"keys":            `{function: ns/handler, routerservice: rt, routernamespace: rtns, routerport: 81, proxy: URL}`,
			"keys_kubeconfig": `{function: ns/handler, routerservice: rt, routernamespace: rtns, routerport: 81, ` + kubeconfig + `}`,
		},
		Wrong: map[string]string{
			"{}":                                         "function",
			"{function: a/b/c}":                          "function",
			"{function: f, routerport: 65536}":           "routerport",
			"{function: f, routerservice: \"a b\"}":      "routerservice",
			"{function: f, routernamespace: \"-\"}":      "routernamespace",
			"{function: f, kubeconfig: /does/not/exist}": "no such file",
			"{function: f, kubeconfig: '{s3cretT0ken'}":  "the kubeconfig is malformed",
		},
	}.Run(t)
}

func TestAnswersOfTheFunctionAreClassed(t *testing.T) {
	kubextest.Classes(t, func(address string) (outputs.Sender, error) {
		return outputstest.New("fission", "{function: f, proxy: '"+address+"'}", outputstest.Env(t))
	})
}
