package otlptraces_test

import (
	"testing"

	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
)

func TestRealCollectorTakesSpans(t *testing.T) {
	otlptest.Real(t, "otlptraces", "/v1/traces",
		"Name           : Write below binary dir", "fd.name: Str(/bin/hack)", "service.name: Str(falco)", "InstrumentationScope falco-event")
}
