package loki

import (
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// VictoriaLogs takes pushes as Loki does.
func TestRealVictoriaLogsTakesPushes(t *testing.T) {
	base := outputstest.VictoriaLogs(t)
	s := open(t, base+"/insert", ", extralabels: proc.cmdline")
	var batch []event.Event
	for _, f := range outputstest.Events() {
		if f.Event.Output != "" { // it keeps no entry without a line
			batch = append(batch, f.Event)
		}
	}
	plain := outputstest.Plain()
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	plain.Output = "alone"
	if err := s.Send(t.Context(), []event.Event{plain}); err != nil {
		t.Fatal(err)
	}
	var entries map[string]map[string]string
	outputstest.Eventually(t, "all entries can be found", func() bool {
		entries = outputstest.Stored(t, base, "_msg")
		return len(entries) == len(batch)+1
	})
	for _, line := range []string{outputstest.Plain().Output, "alone"} {
		for name, want := range map[string]string{
			"rule": plain.Rule, "priority": "Error", "source": "syscall", "hostname": "node-1", "tags": "T1059,mitre_persistence",
			"k8s_ns_name": "ns1", "proc_cmdline": "touch /bin/hack", "_time": "2019-05-17T15:31:56.746609046Z",
		} {
			if got := entries[line][name]; got != want {
				t.Errorf("%s of %q is %q, want %q", name, line, got, want)
			}
		}
	}
}
