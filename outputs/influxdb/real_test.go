package influxdb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// startInfluxDB runs Debian's InfluxDB, of version 1, with a database and a user who may
// write to it.
func startInfluxDB(t *testing.T) string {
	t.Helper()
	base := outputstest.Start(t, outputstest.Program{
		Path: "/usr/bin/influxd",
		Prepare: func(t *testing.T, address, dir string) {
			text := fmt.Sprintf(`bind-address = "127.0.0.1:0"
reporting-disabled = true
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
[monitor]
  store-enabled = false
[http]
  bind-address = %q
  auth-enabled = true
`, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), address)
			if err := os.WriteFile(filepath.Join(dir, "influxdb.conf"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Args: func(_, dir string) []string { return []string{"-config", filepath.Join(dir, "influxdb.conf")} },
		IsUp: outputstest.Accepts,
	})
	query(t, base, "", "CREATE USER admin WITH PASSWORD 'admin' WITH ALL PRIVILEGES")
	for _, statement := range []string{
		"CREATE DATABASE falco", "CREATE DATABASE other", "CREATE USER saker WITH PASSWORD 'p&w ='", "GRANT WRITE ON falco TO saker",
	} {
		query(t, base, "falco", statement)
	}
	return base
}

// query runs a statement as the administrator, and returns the first series of the answer.
func query(t *testing.T, base, database, statement string) (columns []string, values [][]any) {
	t.Helper()
	res, err := http.PostForm(base+"/query?u=admin&p=admin", url.Values{"db": {database}, "q": {statement}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Results []struct {
			Error  string
			Series []struct {
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Results) != 1 || answer.Results[0].Error != "" {
		t.Fatalf("%s: status %d, %+v", statement, res.StatusCode, answer)
	}
	if len(answer.Results[0].Series) == 0 {
		return nil, nil
	}
	s := answer.Results[0].Series[0]
	return s.Columns, s.Values
}

// send sends all fixture events and closes the sender.
func send(t *testing.T, text string, batch ...event.Event) error {
	t.Helper()
	s, err := outputstest.New("influxdb", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.(io.Closer).Close()
	return s.Send(t.Context(), batch)
}

func all() []event.Event {
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	return batch
}

func TestRealInfluxDBTakesEveryEvent(t *testing.T) {
	base := startInfluxDB(t)
	for _, extra := range []string{"", ", eventtime: true", ", eventtime: true, enablecompression: true, precision: us"} {
		query(t, base, "falco", "DROP MEASUREMENT events")
		if err := send(t, "{hostport: "+base+", user: saker, password: 'p&w ='"+extra+"}", all()...); err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		_, values := query(t, base, "falco", "SELECT * FROM events")
		if len(values) != len(all()) {
			t.Errorf("%s: InfluxDB has %d points, want %d", extra, len(values), len(all()))
		}
		e := outputstest.Plain()
		columns, values := query(t, base, "falco", `SELECT * FROM events WHERE "rule" = 'Write_below_binary_dir'`)
		if len(values) != 1 {
			t.Fatalf("%s: InfluxDB has %d points of the rule", extra, len(values))
		}
		got := map[string]any{}
		for i, name := range columns {
			got[name] = values[0][i]
		}
		for name, want := range map[string]string{
			"value": e.Output, "priority": "Error", "source": "syscall", "hostname": "node-1", "tags": "T1059_mitre_persistence",
			"proc.aname[2]": "bash", "proc.cmdline": "touch_/bin/hack",
		} {
			if got[name] != want {
				t.Errorf("%s: %s is %q, want %q", extra, name, got[name], want)
			}
		}
		if stamp := fmt.Sprint(got["time"]); strings.HasPrefix(stamp, "2019-05-17T15:31:56.746609") != (extra != "") {
			t.Errorf("%s: the time is %s", extra, stamp)
		}
	}
}

func TestRealInfluxDBsRefusalsAreUnderstood(t *testing.T) {
	base := startInfluxDB(t)
	for text, want := range map[string]string{
		"{hostport: BASE, user: saker, password: wrong}":                     "401",
		"{hostport: BASE, user: saker, password: 'p&w =', database: other}":  "403",
		"{hostport: BASE, user: admin, password: admin, database: no}":       "database not found",
		"{hostport: BASE, user: u, password: p, organization: o, bucket: b}": "404",
		"{hostport: BASE/query, user: u, password: p}":                       "404",
	} {
		err := send(t, strings.ReplaceAll(text, "BASE", base), outputstest.Plain())
		if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it held with %s", text, err, want)
		}
	}
	const admin = "hostport: BASE, user: admin, password: admin, database: falco"
	line := strings.NewReader(`events,rule=x value=1`)
	res, err := http.Post(base+"/write?db=falco&u=admin&p=admin", "text/plain", line)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	err = send(t, strings.ReplaceAll("{"+admin+"}", "BASE", base), outputstest.Plain())
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "field type conflict") {
		t.Errorf("a field of another type: got %v", err)
	}
	query(t, base, "falco", "DROP MEASUREMENT events")
	query(t, base, "falco", "ALTER RETENTION POLICY autogen ON falco DURATION 1h SHARD DURATION 1h")
	err = send(t, strings.ReplaceAll("{"+admin+", eventtime: true}", "BASE", base), outputstest.Plain())
	if outputstest.OutcomeOf(err) != outputstest.Rejected || !strings.Contains(err.Error(), "retention policy") {
		t.Errorf("an event that is too old: got %v", err)
	}
}

// VictoriaMetrics speaks version 2 of the API. It keeps numbers only, so that what can be
// found there are the series.
func TestRealVictoriaMetricsHasTheSeries(t *testing.T) {
	base := outputstest.Start(t, outputstest.Program{
		Module: "victoria-metrics",
		Args: func(address, dir string) []string {
			return []string{"-httpListenAddr=" + address, "-storageDataPath=" + dir, "-retentionPeriod=100y"}
		},
		Ready: "/health",
	})
	// It takes no line ends in texts, which InfluxDB does.
	batch := slices.DeleteFunc(all(), func(e event.Event) bool { return strings.Contains(e.Output, "\n") })
	if err := send(t, "{hostport: "+base+", organization: o, token: t, eventtime: true}", batch...); err != nil {
		t.Fatal(err)
	}
	outputstest.Eventually(t, "the series can be found", func() bool {
		return strings.Contains(get(t.Context(), t, base+"/api/v1/series?start=2019-01-01T00:00:00Z&match[]="+url.QueryEscape(`{rule="Write_below_binary_dir"}`)), `"fd.name":"/bin/hack"`)
	})
}

func get(ctx context.Context, t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
