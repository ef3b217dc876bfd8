package trace

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
)

// Config is the section "tracing".
type Config struct {
	Endpoint    string                   `key:"endpoint" doc:"URL of a collector that takes traces as OTLP over HTTP, such as http://collector:4318. Without a path /v1/traces is added. Empty is no traces."`
	Headers     map[string]config.Secret `key:"headers" doc:"Headers added to the requests to the collector."`
	SampleRatio float64                  `key:"sampleratio" default:"1" doc:"Share of the events that are traced, above 0 and up to 1. It is decided from the event's UUID, so that all forwarders decide the same."`
	ServiceName string                   `key:"servicename" default:"saker" doc:"Name of the service in the traces."`
	CACertFile  string                   `key:"cacertfile" doc:"Authority that is trusted for the collector's certificate, in addition to the system's and that of tlsclient."`
	CheckCert   bool                     `key:"checkcert" default:"true" doc:"Verify the collector's certificate."`
}

// Enabled reports whether there are to be traces.
func (c Config) Enabled() bool { return c.Endpoint != "" }

// Validate reports all settings that cannot work.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var errs []error
	if _, err := c.url(); err != nil {
		errs = append(errs, config.At("endpoint", err))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			errs = append(errs, config.At("headers", fmt.Errorf("%q is no name of a header", name)))
		}
		if !httpguts.ValidHeaderFieldValue(c.Headers[name].Reveal()) {
			errs = append(errs, config.At("headers", fmt.Errorf("the value of header %q has a character that no header may have", name)))
		}
	}
	if !(c.SampleRatio > 0 && c.SampleRatio <= 1) {
		errs = append(errs, config.At("sampleratio", errors.New("must be above 0 and at most 1")))
	}
	if c.ServiceName == "" {
		errs = append(errs, config.At("servicename", errors.New("must not be empty")))
	}
	return errors.Join(errs...)
}

// tracesPath is where a collector takes traces.
const tracesPath = "/v1/traces"

// url returns the collector's URL with its path.
func (c Config) url() (string, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("must be a URL such as http://collector:4318")
	case u.User != nil:
		return "", errors.New("must not have a user name or password: put them into tracing.headers")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("must have no query and no fragment")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u.String(), nil
}
