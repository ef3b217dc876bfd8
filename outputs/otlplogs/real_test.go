package otlplogs_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRealCollectorTakesRecords(t *testing.T) {
	otlptest.Real(t, "otlplogs", "/v1/logs",
		"Body: Str(16:31:56.746609046: Error File <x> opened (user=root))", "rule: Str(Write below binary dir)", "service.name: Str(falco)", "InstrumentationScope falco")
}

func TestRealVictoriaLogsFindsRecordsByTheirFields(t *testing.T) {
	base := outputstest.VictoriaLogs(t)
	send(t, "{endpoint: '"+base+"/insert/opentelemetry/v1/logs', outputfields: true, severity: priority}", []event.Event{outputstest.Plain()})
	query := url.QueryEscape(`uuid:00000000-0000-4000-8000-000000000001 "proc.pid":1234 severity:Error`)
	outputstest.Eventually(t, "the record is found", func() bool {
		res, err := http.Get(base + "/select/logsql/query?limit=10&query=" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(text), `opened (user=root)"`) && strings.Contains(string(text), "2019-05-17T15:31:56.746609046Z")
	})
}

func send(t *testing.T, text string, batch []event.Event) {
	t.Helper()
	s, err := outputstest.New("otlplogs", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
