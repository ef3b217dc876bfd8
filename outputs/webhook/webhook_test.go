package webhook_test

import (
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/webhook"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "webhook",
		Config: "{address: 'URL/hook/s3cret1?key=s3cret2', customheaders: {Authorization: Bearer s3cret3}}",
		Secret: "s3cret1 s3cret2 s3cret3",
		Variants: map[string]string{
			"put":     "{address: URL, method: put}",
			"headers": "{address: URL/, method: PATCH, customheaders: 'content-type: text/plain, X-Scope: a:b, User-Agent: mine'}",
		},
		Wrong: map[string]string{
			"{}":                                                   "address",
			"{address: example.com/s3cret1}":                       "must be a URL",
			"{address: 'https://h/#s3cret1'}":                      "without a fragment",
			"{address: 'http://:80/s3cret1'}":                      "with a host",
			"{address: 'http://%zz/s3cret1'}":                      "must be a URL",
			"{address: URL, customheaders: {'a b': s3cret1}}":      `"a b" is no name of a header`,
			"{address: URL, customheaders: {X-A: \"s3cret1\\n\"}}": `the value of header "X-A"`,
		},
	}.Run(t)
}
