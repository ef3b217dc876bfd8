package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// auditBody is what a real API server has posted; the rules that ship find privileged pods in
// it.
const auditBody = "../../sensor/audit/testdata/posted/pods.json"

func TestWhatAnAPIServerPostsToTheForwarderBecomesAlerts(t *testing.T) {
	alerts := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		alerts <- string(body)
	}))
	defer receiver.Close()
	arrives := func(text string) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case a := <-alerts:
				if strings.Contains(a, text) {
					return
				}
			case <-deadline:
				t.Fatalf("no alert with %q arrives", text)
			}
		}
	}
	dir := t.TempDir()
	file, rulesFile := filepath.Join(dir, "saker.yaml"), filepath.Join(dir, "rules.yaml")
	common := "limits: {maxbodybytes: 12MiB}\nwebhook: {address: " + receiver.URL + "}\n"
	writeConfig(t, file, common+"ingest: {k8saudit: {enabled: true}}\n")
	p := startForwarder(t, file, nil)
	found := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(p.until(t, "msg=listening for=ingest"))
	post := func() {
		t.Helper()
		body, err := os.Open(auditBody)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		answer, err := http.Post("http://"+found+"/ingest/k8s-audit", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(answer.Body)
			t.Fatalf("the answer is %s: %s", answer.Status, text)
		}
	}
	post()
	arrives("Privileged Pod Created")

	writeConfig(t, rulesFile, `
- rule: Somebody Made a Pod
  desc: d
  condition: ka.verb=create and ka.target.resource=pods
  output: pod %ka.target.name
  priority: NOTICE
  source: k8s_audit
`)
	writeConfig(t, file, common+"ingest: {k8saudit: {enabled: true, rules_files: ["+rulesFile+"]}}\n")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the new configuration is in force")
	post()
	arrives("Somebody Made a Pod")

	writeConfig(t, rulesFile, "- rule: broken\n")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the new configuration was not taken up, the one before stays in force")
	post()
}
