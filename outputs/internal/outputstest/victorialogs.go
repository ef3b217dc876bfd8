package outputstest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
)

// VictoriaLogs starts a VictoriaLogs, which speaks the protocols of several other stores of
// logs, and returns its base URL. What is sent to it Stored gives back.
func VictoriaLogs(t *testing.T) string {
	t.Helper()
	return Start(t, Program{
		Module: "victoria-logs",
		Args: func(address, dir string) []string {
			return []string{"-httpListenAddr=" + address, "-storageDataPath=" + dir, "-retentionPeriod=100y"}
		},
		Ready: "/health",
	})
}

// Stored returns all entries of the VictoriaLogs at base by one of their fields.
func Stored(t *testing.T, base, field string) map[string]map[string]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/select/logsql/query?limit=1000&query=*", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all := map[string]map[string]string{}
	for d := json.NewDecoder(res.Body); ; {
		var entry map[string]string
		switch err := d.Decode(&entry); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all[entry[field]] = entry
	}
}
