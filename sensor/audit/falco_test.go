package audit_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor/audit"
)

func TestFalcosPluginIsTakenOver(t *testing.T) {
	const file = `
plugins:
  - name: container
    library_path: libcontainer.so
    init_config: {engines: {docker: {enabled: true}}}
  - name: k8saudit
    library_path: libk8saudit.so
    init_config: INIT
    open_params: "PARAMS"
  - name: json
load_plugins: LOAD
`
	local := audit.Webhook{Listen: "127.0.0.1:9765", Path: "/k8s-audit"}
	webhook := func(listen, path, pem string) audit.Config {
		return audit.Config{Webhook: audit.Webhook{Enabled: true, Listen: listen, Path: path, TLSCert: pem, TLSKey: pem}}
	}
	follow := func(path, from string) audit.Config {
		return audit.Config{Webhook: local, Log: audit.Log{Path: path, From: from}}
	}
	for _, tt := range []struct {
		name, params, init, load string
		want                     audit.Config
		bad                      bool
	}{
		{"http", "http://:9765/k8s-audit", "", "[k8saudit, json]", webhook(":9765", "/k8s-audit", ""), false},
		{"no parameters", "", "{}", "[k8saudit]", webhook(":9765", "/k8s-audit", ""), false},
		{"no path", "http://127.0.0.1:80", "", "[k8saudit]", webhook("127.0.0.1:80", "/k8s-audit", ""), false},
		{"https", "https://:9765/x", "", "[k8saudit]", webhook(":9765", "/x", "/etc/falco/falco.pem"), false},
		{"https with a certificate", "https://:9765/x", "{sslCertificate: /a.pem, maxEventSize: 1000}", "[k8saudit]", webhook(":9765", "/x", "/a.pem"), false},
		{"settings as text", "https://:9765/x", `'{"sslCertificate":"/b.pem"}'`, "[k8saudit]", webhook(":9765", "/x", "/b.pem"), false},
		{"a file", "/var/log/audit.json", "", "[k8saudit]", follow("/var/log/audit.json", "start"), false},
		{"a file to follow", "file:///var/log/audit.json", "", "[k8saudit]", follow("/var/log/audit.json", "end"), false},
		{"all plugins are loaded if none is named", "/f", "", "", follow("/f", "start"), false},
		{"not loaded", "http://:9765/k8s-audit", "", "[json]", audit.Config{Webhook: local, Log: audit.Log{From: "end"}}, false},
		{"none is loaded, as in the file that Falco ships", "http://:9765/k8s-audit", "", "[]", audit.Config{Webhook: local, Log: audit.Log{From: "end"}}, false},
		{"another scheme", "ftp://x/y", "", "[k8saudit]", audit.Config{}, true},
		{"no port", "http://x/y", "", "[k8saudit]", audit.Config{}, true},
		{"settings that are a list", "/f", "[1]", "[k8saudit]", audit.Config{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.NewReplacer("INIT", tt.init, "PARAMS", tt.params, "LOAD", tt.load).Replace(file)
			got := audit.Config{Webhook: local, Log: audit.Log{From: "end"}}
			plugin, err := audit.FalcoPlugin([]byte(text))
			if err == nil && plugin != nil {
				got, err = got.WithPlugin(*plugin)
			}
			if tt.bad {
				if err == nil {
					t.Error("there is no error")
				}
				return
			}
			if tt.want.Log.From == "" {
				tt.want.Log.From = "end"
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	own := audit.Config{Log: audit.Log{Path: "/own"}}
	if got, err := own.WithPlugin(audit.Plugin{OpenParams: "http://:1/x"}); err != nil || !reflect.DeepEqual(got, own) {
		t.Errorf("the plugin wins over our own settings: %+v, %v", got, err)
	}
	if plugin, err := audit.FalcoPlugin([]byte("\tno YAML: [")); plugin != nil || err != nil {
		t.Errorf("a file that is no YAML gives %v, %v", plugin, err)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"webhook: {enabled: true}":                                      "",
		"webhook: {enabled: true, listen: nowhere}":                     `audit.webhook.listen: must be an address such as 127.0.0.1:9765, not "nowhere"`,
		"webhook: {enabled: true, path: x}":                             "audit.webhook.path: must begin with /",
		"webhook: {enabled: true, tls_cert: a}":                         "audit.webhook.tls_key: is required when tls_cert is set",
		"webhook: {enabled: true, tls_key: a}":                          "audit.webhook.tls_cert: is required when tls_key is set",
		"webhook: {enabled: true, client_ca: a}":                        "audit.webhook.client_ca: needs tls_cert and tls_key",
		"webhook: {enabled: true, tls_cert: a, tls_key: a, token: abc}": "",
		"log: {path: /x, from: middle}":                                 `audit.log.from: must be one of start, end, not "middle"`,
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte("audit: {"+text+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		var c struct {
			Audit audit.Config `key:"audit"`
		}
		_, err := config.Load(config.Source{File: file}, config.Section{Into: []any{&c}})
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
