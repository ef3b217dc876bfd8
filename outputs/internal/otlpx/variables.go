package otlpx

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
)

// Variables are environment variables of OpenTelemetry by name, in any case.
type Variables map[string]config.Secret

// settings is what variables say.
type settings struct {
	headers                   http.Header
	compression               string
	caFile, certFile, keyFile string
	insecure                  *bool
	resource                  map[string]string
	// others are those that only one signal has a use for.
	others map[string]string
	// ignored are the names of those without effect, sorted.
	ignored []string
}

// The variables of metrics alone.
const (
	VariableTemporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	VariableInterval    = "OTEL_METRIC_EXPORT_INTERVAL"
)

const (
	prefix             = "OTEL_EXPORTER_OTLP_"
	resourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"
)

// read reads the variables for one signal. A variable of the signal's own comes before the
// one for all signals.
func (v Variables) read(s Signal) (settings, error) {
	set := map[string]string{}
	for name, value := range v {
		set[strings.ToUpper(strings.TrimSpace(name))] = strings.TrimSpace(value.Reveal())
	}
	known := map[string]bool{resourceAttributes: true}
	get := func(name string) (value string) {
		for _, full := range []string{prefix + s.name + "_" + name, prefix + name} {
			known[full] = true
			if value == "" {
				value = set[full]
			}
		}
		return value
	}
	out := settings{
		compression: get("COMPRESSION"), caFile: get("CERTIFICATE"),
		certFile: get("CLIENT_CERTIFICATE"), keyFile: get("CLIENT_KEY"), others: map[string]string{},
	}
	var errs []error
	note := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	out.headers, err = parseHeaders(get("HEADERS"))
	note(prefix+"HEADERS", err)
	out.resource, err = parseAttributes(set[resourceAttributes])
	note(resourceAttributes, err)
	if text := get("INSECURE"); text != "" {
		b, err := strconv.ParseBool(text)
		if err != nil {
			note(prefix+"INSECURE", errors.New("must be true or false"))
		}
		out.insecure = &b
	}
	if out.compression != "" && out.compression != "gzip" && out.compression != "none" {
		note(prefix+"COMPRESSION", errors.New("must be gzip or none"))
	}
	if (out.certFile == "") != (out.keyFile == "") {
		note(prefix+"CLIENT_CERTIFICATE", errors.New("needs CLIENT_KEY, and the other way round"))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		switch {
		case s.name == Metrics.name && (name == VariableTemporality || name == VariableInterval):
			out.others[name] = set[name]
		case !known[name]:
			out.ignored = append(out.ignored, name)
		}
	}
	return out, errors.Join(errs...)
}

// maxHeaders and maxAttributes bound what a user sets.
const (
	maxHeaders    = 64
	maxAttributes = 128
)

// parseHeaders reads name=value,name=value with percent-encoded values. No error shows a
// value.
func parseHeaders(text string) (http.Header, error) {
	pairs, err := parsePairs(text, maxHeaders)
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	for name, value := range pairs {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("must be name=value,name=value: %q is no name of a header", name)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("the value of header %q has a character that no header may have", name)
		}
		headers.Set(name, value)
	}
	return headers, nil
}

// parseAttributes reads the attributes of a resource.
func parseAttributes(text string) (map[string]string, error) { return parsePairs(text, maxAttributes) }

// parsePairs reads name=value,name=value. Names and values are trimmed and values
// percent-decoded; empty items are dropped.
func parsePairs(text string, most int) (map[string]string, error) {
	pairs := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		name, value, ok := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, errors.New("must be name=value,name=value")
		}
		decoded, err := url.PathUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("the value of %q is not percent-encoded: a %% is written %%25", name)
		}
		pairs[name] = strings.TrimSpace(decoded)
		if len(pairs) > most {
			return nil, fmt.Errorf("has more than %d items", most)
		}
	}
	return pairs, nil
}
