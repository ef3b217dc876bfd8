package forwarder

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnAlertmanagerThatIsDownKeepsNothingFromTheOther(t *testing.T) {
	got := make(chan string, 100)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- string(body)
	}))
	t.Cleanup(up.Close)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()

	text := fmt.Sprintf("alertmanager: {hostport: [%q, %q]}", down.URL, up.URL)
	names := mustLoad(t, text).Named("alertmanager")
	want := []string{"alertmanager@" + strings.TrimPrefix(down.URL, "http://"), "alertmanager@" + strings.TrimPrefix(up.URL, "http://")}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("the outputs are %q, want %q", names, want)
	}
	f := start(t, t.TempDir(), text)
	c := client(t, nil)
	for n := range 3 {
		if status, body := send(t, c, http.MethodPost, "http://"+f.Ingest.String()+"/", alert(n)); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	deadline := time.After(20 * time.Second)
	for all := ""; strings.Count(all, `"alertname"`) < 3; {
		select {
		case body := <-got:
			all += body
		case <-deadline:
			t.Fatalf("of 3 alerts only these came: %s", all)
		}
	}
	// The attempt is counted once its answer has been read, which is after the alert came.
	const count = `falcosecurity_falcosidekick_outputs_total{destination="alertmanager",status="ok"} 3`
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for page := ""; !strings.Contains(page, count); {
		_, page = send(t, c, http.MethodGet, "http://"+f.Ingest.String()+"/metrics", "")
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the metrics lack %s", count)
		}
	}
}
