package datadog_test

import (
	"testing"

	_ "github.com/saker-security/saker/outputs/datadog"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "datadog",
		Config: "{host: URL, apikey: s3cret+key}",
		Secret: "s3cret+key",
		Wrong: map[string]string{
			"{host: URL}": "apikey",
			"{host: api.example.com, apikey: s3cret+key}": "host",
		},
	}.Run(t)
}
