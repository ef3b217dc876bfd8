package forwarder

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	_ "github.com/saker-security/saker/outputs/all" // the outputs that configurations name
)

func load(t testing.TB, text string, environ ...string) (*Loaded, error) {
	t.Helper()
	return LoadConfig(config.Source{File: "saker.yaml", Text: []byte(text), Environ: environ})
}

func mustLoad(t testing.TB, text string, environ ...string) *Loaded {
	t.Helper()
	l, err := load(t, text, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func names(l *Loaded) []string {
	var all []string
	for _, in := range l.Outputs {
		all = append(all, in.Name+"="+in.Kind.Name)
	}
	return all
}

func TestDefaultsAreFalcosidekicks(t *testing.T) {
	l := mustLoad(t, "")
	if l.ListenAddress != "" || l.ListenPort != 2801 || l.UI.ListenPort != 2802 || l.TLSServer.NoTLSPort != 2810 ||
		l.TLSServer.CertFile != "/etc/certs/server/server.crt" || l.MutualTLSFilesPath != "/etc/certs" || len(l.Outputs) != 0 {
		t.Errorf("got %+v", l.Config)
	}
	if len(l.Source.Warnings) != 0 {
		t.Errorf("warnings: %v", l.Source.Warnings)
	}
}

func TestOutputsAreOnWhenTheirRequiredKeysAreSet(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		environ    []string
		want       []string
	}{
		{"none", "slack: {channel: x}", nil, nil},
		{"Falcosidekick's form", "slack: {webhookurl: http://x.test/}\nwebhook: {address: http://y.test}", nil, []string{"slack=slack", "webhook=webhook"}},
		{"from the environment", "", []string{"SLACK_WEBHOOKURL=http://x.test/"}, []string{"slack=slack"}},
		{"named", "outputs: {b: {type: slack, webhookurl: http://x.test/}, a: {type: slack, webhookurl: http://y.test/}}", nil, []string{"a=slack", "b=slack"}},
		{"both", "stdout: {enabled: true}\noutputs: {oncall: {type: webhook, address: http://x.test}}", nil, []string{"oncall=webhook", "stdout=stdout"}},
		{"off by its switch", "stdout: {enabled: false}", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, names(mustLoad(t, tc.text, tc.environ...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommonSettingsStandBesideAnOutputsOwn(t *testing.T) {
	l := mustLoad(t, "outputs: {oncall: {type: slack, webhookurl: http://x.test/, minimumpriority: Warning, retry: {max_age: 1h}}}",
		"OUTPUTS_ONCALL_TIMEOUT=3s")
	s := l.Outputs[0].Settings
	if s.MinimumPriority != event.Warning || s.Retry.MaxAge.String() != "1h0m0s" || s.Timeout.String() != "3s" || s.MaxConcurrentRequests != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestMistakesAreReportedTogetherWithTheirPlaces(t *testing.T) {
	_, err := load(t, `listenport: 70000
listenadress: 127.0.0.1
ui:
  listenaddress: everywhere
templatedfields: {x: "{{ if"}
prometheus: {extralabels: [a-b]}
auth: {username: ann}
limits: {maxevents: 0}
outputs:
  slack: {type: slack, webhookurl: http://x.test/}
  oncall: {type: slak, webhookurl: http://x.test/}
  half: {type: webhook}
`)
	if err == nil {
		t.Fatal("the configuration was taken")
	}
	got := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		"saker.yaml:1: listenport: must be a port from 0 to 65535, not 70000",
		"saker.yaml:2: listenadress: unknown key (did you mean listenaddress?)",
		`saker.yaml:4: ui.listenaddress: must be an IP address, not "everywhere"`,
		`saker.yaml:5: templatedfields: parse the template of field "x"`,
		`saker.yaml:6: prometheus.extralabels: "a-b" cannot be a label`,
		"saker.yaml:7: auth.password: must be set, because auth.username is",
		"saker.yaml:8: limits.maxevents: must be at least 1",
		`saker.yaml:10: outputs.slack: the name "slack" is that of a kind of output`,
		`saker.yaml:11: outputs.oncall.type: `,
		`saker.yaml:12: outputs.half.address: `,
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d should begin with %q", i+1, want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestSettingsWithoutEffectAreWarnings(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"tlsserver: {mutualtls: true}", "tlsserver.mutualtls: has no effect without tlsserver.deploy: the server speaks plain HTTP"},
		{"tlsserver: {deploy: true, notlspaths: [/healthz, /nothing]}", `tlsserver.notlspaths: "/nothing" is ignored: it must be one of /, /ping, /healthz, /readyz, /test, /metrics`},
		{"tlsserver: {notlspaths: [/healthz]}", "tlsserver.notlspaths: has no effect without tlsserver.deploy"},
		{"ui: {listenaddress: 0.0.0.0}", "ui.listenaddress: everybody who reaches the page can read all alerts: set auth.username and auth.password"},
		{"ui: {listenaddress: 0.0.0.0, enabled: false}", ""},
		{"ui: {listenaddress: 0.0.0.0}\nauth: {token: x}", ""},
	} {
		if got := mustLoad(t, tc.text).Source.Warnings.Error(); got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}

func TestFalcosidekicksMapsKeepTheirDottedNames(t *testing.T) {
	l := mustLoad(t, "customfields: {k8s.cluster.name: prod}\ncustomtags: [a, b]", "WHO=ann")
	if l.CustomFields["k8s.cluster.name"] != "prod" || len(l.CustomTags) != 2 {
		t.Errorf("got %v, %v", l.CustomFields, l.CustomTags)
	}
	l = mustLoad(t, "", "CUSTOMFIELDS=by:%WHO,x:y", "WHO=ann")
	if l.CustomFields["by"] != "ann" || l.CustomFields["x"] != "y" {
		t.Errorf("got %v", l.CustomFields)
	}
}

func TestTheEffectiveConfigurationHidesSecrets(t *testing.T) {
	var text bytes.Buffer
	l := mustLoad(t, "slack: {webhookurl: http://x.test/s3cret}\nauth: {token: t0ken}")
	if err := l.Source.WriteEffective(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "webhookurl") || strings.Contains(text.String(), "s3cret") || strings.Contains(text.String(), "t0ken") {
		t.Error(text.String())
	}
}

func TestTheDataFolderDependsOnTheUser(t *testing.T) {
	l := mustLoad(t, "", "SAKER_DATA_DIR=/somewhere")
	if dir, err := l.DataFolder(); dir != "/somewhere" || err != nil {
		t.Errorf("got %q, %v", dir, err)
	}
	t.Setenv("XDG_STATE_HOME", "/state")
	want := "/var/lib/saker"
	if os.Geteuid() != 0 {
		want = "/state/saker"
	}
	if dir, err := mustLoad(t, "").DataFolder(); dir != want || err != nil {
		t.Errorf("got %q, %v", dir, err)
	}
}

func TestTheLogFollowsItsSettings(t *testing.T) {
	for _, tc := range []struct {
		text         string
		debug, plain bool
	}{
		{"", false, true},
		{"debug: true", true, true},
		{"log: {level: debug, format: json}", true, false},
		{"log: {level: error}", false, true},
	} {
		var out bytes.Buffer
		log := mustLoad(t, tc.text).Logger(&out)
		log.Error("x")
		if got := log.Enabled(t.Context(), slog.LevelDebug); got != tc.debug {
			t.Errorf("%s: debug is %t", tc.text, got)
		}
		if got := strings.HasPrefix(out.String(), "time="); got != tc.plain {
			t.Errorf("%s: %s", tc.text, out.String())
		}
	}
}

func TestTheExampleFileIsAConfigurationThatStarts(t *testing.T) {
	dir := t.TempDir()
	if err := writeReference(dir, nil); err != nil {
		t.Fatal(err)
	}
	l, err := LoadConfig(config.Source{File: filepath.Join(dir, "saker.example.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Outputs) != 0 {
		t.Errorf("it turns on %v", names(l))
	}
	for _, d := range documents {
		text, err := os.ReadFile(filepath.Join(dir, d.name))
		subject := "listenport"
		if d.name == "metrics.md" {
			subject = "saker_journal_ready"
		}
		if err != nil || !bytes.Contains(bytes.ToLower(text), []byte(subject)) {
			t.Errorf("%s: %v, %d bytes", d.name, err, len(text))
		}
	}
}
