package datadoglogs

import (
	"io"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// VictoriaLogs takes arrays of logs as Datadog does.
func TestRealVictoriaLogsTakesArraysOfLogs(t *testing.T) {
	base := outputstest.VictoriaLogs(t)
	s, err := outputstest.New("datadoglogs", "{host: "+base+"/insert/datadog, apikey: k, service: svc}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	var batch []event.Event
	for _, f := range outputstest.Events() {
		f.Event.Tags = []string{"team:sec"} // this server breaks off at a tag that has no value
		batch = append(batch, f.Event)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var entries map[string]map[string]string
	outputstest.Eventually(t, "all logs can be found", func() bool {
		entries = outputstest.Stored(t, base, "_msg")
		return len(entries) == len(batch)
	})
	entry := entries[string(batch[0].AppendJSON(nil))]
	for name, want := range map[string]string{"ddsource": "falco", "hostname": "node-1", "service": "svc", "team": "sec"} {
		if entry[name] != want {
			t.Errorf("%s is %q, want %q", name, entry[name], want)
		}
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
