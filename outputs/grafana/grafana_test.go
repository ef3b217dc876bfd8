package grafana_test

import (
	"testing"

	_ "github.com/saker-security/saker/outputs/grafana"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "grafana",
		Config: "{hostport: URL, apikey: glsa_s3cret}",
		Secret: "glsa_s3cret",
		Variants: map[string]string{
			"all_fields": "{hostport: URL/grafana/, apikey: glsa_s3cret, allfieldsastags: true, dashboardid: 12, panelid: 34, customheaders: {X-Grafana-Org-Id: 2}}",
		},
		Wrong: map[string]string{
			"{hostport: URL}":                                                     "apikey",
			"{apikey: glsa_s3cret}":                                               "hostport",
			"{hostport: 'h:3000', apikey: glsa_s3cret}":                           "hostport",
			"{hostport: URL, apikey: glsa_s3cret, dashboardid: -1}":               "dashboardid",
			"{hostport: URL, apikey: glsa_s3cret, customheaders: {'X:': secret}}": "customheaders",
		},
	}.Run(t)
}
