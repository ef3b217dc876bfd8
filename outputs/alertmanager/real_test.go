package alertmanager

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// startReal runs Debian's Alertmanager, alone and without a peer.
func startReal(t *testing.T) string {
	t.Helper()
	return outputstest.Start(t, outputstest.Program{
		Path: "/usr/bin/prometheus-alertmanager",
		Args: func(address, dir string) []string {
			return []string{
				"--config.file=testdata/alertmanager.yml", "--storage.path=" + dir,
				"--web.listen-address=" + address, "--cluster.listen-address=",
			}
		},
		Ready: "/-/ready",
	})
}

// shown is an alert as the real Alertmanager shows it.
type shown struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alerts returns the active alerts by their rule.
func alerts(t *testing.T, url string) []shown {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v2/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []shown
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func open(t *testing.T, text string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("alertmanager", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return sender
}

// late is how much later than its event an alert is delivered here at most.
const late = 24 * time.Hour

func TestTheRealAlertmanagerTakesEveryEvent(t *testing.T) {
	outputstest.NoLeak(t)
	url := startReal(t)
	s := open(t, "{hostport: ["+url+"], extralabels: {cluster: prod}}")
	var batch []event.Event
	distinct := map[string]bool{}
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
		labels, err := json.Marshal(newAlert(s.(*sender).Config, f.Event, time.Now()).Labels)
		if err != nil {
			t.Fatal(err)
		}
		distinct[string(labels)] = true
	}
	for range 2 { // an event that is sent again is the same alert
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if got := alerts(t, url); len(got) != len(distinct) {
			t.Fatalf("Alertmanager has %d alerts, want %d", len(got), len(distinct))
		}
	}
	want := map[string]string{
		"alertname": "Write below binary dir", "cluster": "prod", "eventsource": "syscall",
		"evt_time": "1507591916746609046", "fd_name": "/bin/hack", "hostname": "node-1", "k8s_ns_name": "ns1",
		"priority": "Error", "proc_aname_2": "bash", "proc_cmdline": "touch /bin/hack", "proc_pid": "1234",
		"rule": "Write below binary dir", "severity": "warning", "source": "falco", "tags": "T1059,mitre_persistence",
	}
	for _, a := range alerts(t, url) {
		if a.Labels["rule"] != want["rule"] {
			continue
		}
		if diff := cmp.Diff(want, a.Labels); diff != "" {
			t.Errorf("labels (- want, + got):\n%s", diff)
		}
		if got := a.Annotations["description"]; got != outputstest.Plain().Output {
			t.Errorf("the description is %q", got)
		}
		return
	}
	t.Errorf("Alertmanager has no alert of the rule %q", want["rule"])
}

func TestTheRealAlertmanagerShowsALateAlertUntilItExpires(t *testing.T) {
	outputstest.NoLeak(t)
	url := startReal(t)
	sender := open(t, "{hostport: ["+url+"], expiresafter: 1h}")
	e := outputstest.Plain()
	e.Time = time.Now().Add(-late)
	if err := sender.Send(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	got := alerts(t, url)
	if len(got) != 1 {
		t.Fatalf("Alertmanager shows %d alerts, want 1", len(got))
	}
	if left := time.Until(got[0].EndsAt); left < 30*time.Minute || left > time.Hour {
		t.Errorf("the alert ends in %v, want about an hour", left)
	}
}

func TestTheRealAlertmanagersOldAPIIsNotFoundWithoutLosingTheEvent(t *testing.T) {
	outputstest.NoLeak(t)
	url := startReal(t)
	err := open(t, "{hostport: ["+url+"], endpoint: /api/v9/alerts}").Send(t.Context(), []event.Event{outputstest.Plain()})
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "404") {
		t.Errorf("Send returned %v, want it held with 404", err)
	}
}
