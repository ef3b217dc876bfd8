package wavefront_test

import (
	"net/http"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/wavefront"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "wavefront",
		Config: "{endpointtype: direct, endpointhost: URL, endpointtoken: s3cretT0ken}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"proxy": "{endpointtype: proxy, endpointhost: URL/api, metricname: 'falco alerts'}",
		},
		Wrong: map[string]string{
			"{}":                      "endpointtype",
			"{endpointtype: sidecar}": "endpointtype: must be one of",
			"{endpointtype: proxy}":   "endpointhost",
			"{endpointtype: direct, endpointhost: h}":                                 "endpointtoken: is required",
			"{endpointtype: proxy, endpointhost: 'ftp://h'}":                          "endpointhost",
			"{endpointtype: proxy, endpointhost: 'h?x=1'}":                            "without a query",
			"{endpointtype: direct, endpointtoken: t, endpointhost: 's3cretT0ken@h'}": "set endpointtoken",
			"{endpointtype: proxy, endpointhost: h, metricname: ' '}":                 "metricname",
			"{endpointtype: proxy, endpointhost: h, endpointmetricport: 0}":           "endpointmetricport",
		},
		Statuses: map[int]outputstest.Outcome{http.StatusNotAcceptable: outputstest.NotNow},
		Answer: func(w http.ResponseWriter, r *http.Request, _ []byte) {
			switch {
			case r.Header.Get("Content-Type") != "application/octet-stream":
				http.Error(w, "unknown type", http.StatusUnsupportedMediaType)
			case r.Header.Get("Content-Encoding") != "gzip":
				http.Error(w, "not compressed", http.StatusUnsupportedMediaType)
			default:
				w.WriteHeader(http.StatusAccepted)
			}
		},
	}.Run(t)
}
