package elasticsearch

import (
	"bufio"
	"io"
	"net/http"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// VictoriaLogs takes bulk requests as Elasticsearch does.
func TestRealVictoriaLogsTakesBulkRequests(t *testing.T) {
	base := outputstest.VictoriaLogs(t)
	for _, extra := range []string{"", ", enablecompression: true", ", datastream: true, index: logs-falco-default"} {
		s, err := outputstest.New("elasticsearch", "{hostport: "+base+"/insert/elasticsearch, batching: {enabled: true}"+extra+"}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		var batch []event.Event
		for _, f := range outputstest.Events() {
			if len(f.Event.Output) < 100_000 { // its longest line is 256 KiB
				batch = append(batch, f.Event)
			}
		}
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	}
	outputstest.Eventually(t, "all documents can be found three times", func() bool {
		res, err := http.Get(base + "/select/logsql/query?limit=1000&query=uuid:00000000-0000-4000-8000-000000000001")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n := 0
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			n++
		}
		return n == 3
	})
}
