package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testRules are the test's own. They tell when the sensor knows the addresses of names, which
// it looks up in the background, and when it has come to the end of the attacks.
const testRules = `
- rule: Known name
  desc: The test's own.
  condition: evt.type = connect and fd.sip.name in ("kubernetes.default.svc.cluster.local", "pool.minexmr.com")
  output: An address with a known name | name=%fd.sip.name
  priority: DEBUG
- rule: End of the attacks
  desc: The test's own.
  condition: evt.type = execve and proc.name = end-of-attacks
  output: The end
  priority: DEBUG
`

// A process on Linux finds the addresses of names in these files; the sensor in the test
// finds those that exist in the test's network, and asks no server.
const localHosts = apiAddress + " kubernetes.default.svc.cluster.local\n" + poolAddress + " pool.minexmr.com\n"

// lookout is a sensor that watches the attacks.
type lookout struct {
	rules  string
	sensor *process
	known  chan string   // names whose addresses the sensor knows
	ended  chan struct{} // closed when the sensor has come to the end
	done   chan struct{} // closed when byMark is whole
	byMark map[string][]alert
}

// watch starts a sensor with the rules of some files and further settings.
func (s *scene) watch(t *testing.T, settings string, files ...string) *lookout {
	t.Helper()
	var c strings.Builder
	c.WriteString(settings)
	fmt.Fprintf(&c, "rules_files: [%s]\n", strings.Join(append(files, writeFile(t, "test_rules.yaml", testRules)), ", "))
	c.WriteString("json_output: true\nstdout_output: {enabled: true}\nwebserver: {enabled: false}\n")
	fmt.Fprintf(&c, "append_output: [{suggested_output: true, extra_fields: [\"proc.env[%s]\"]}]\n", markVariable)
	fmt.Fprintf(&c, "container_engines: {podman: {enabled: true, sockets: [%s]}}\n", s.podman)
	l := &lookout{
		rules: filepath.Base(files[0]), known: make(chan string, 10_000), ended: make(chan struct{}), done: make(chan struct{}),
		byMark: map[string][]alert{},
	}
	l.sensor = start(t, "trigger", "with-hosts", writeFile(t, "hosts", localHosts), writeFile(t, "resolv.conf", "nameserver 127.0.0.1\n"),
		programs["saker-sensor"], "-c", writeFile(t, "sensor.yaml", c.String()))
	l.sensor.waitFor(t, "watching this host")
	go l.read()
	return l
}

// read sorts what the sensor says until it ends.
func (l *lookout) read() {
	defer close(l.done)
	for line := range l.sensor.lines {
		var a alert
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &a) != nil {
			continue
		}
		mark, _ := a.OutputFields["proc.env["+markVariable+"]"].(string)
		switch {
		case mark == "names":
			if name, ok := a.OutputFields["fd.sip.name"].(string); ok && a.Rule == "Known name" {
				l.known <- name
			}
		case a.Rule == "End of the attacks":
			if mark == "end" {
				close(l.ended)
			}
		case a.Rule == "Known name" || mark == "" || mark == "end":
		default:
			l.byMark[mark] = append(l.byMark[mark], a)
		}
	}
}

// end waits until the sensor has come to the end of the attacks, and ends it, so that it
// also says what it had held back.
func (l *lookout) end(t *testing.T) {
	t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		t.Fatalf("the sensor with %s did not report the end of the attacks within %v", l.rules, patience)
	}
	l.sensor.stop()
	<-l.done
}

// alerts are those of an attack, once the sensor has ended.
func (l *lookout) alerts(a attack) []alert { return l.byMark[strings.ReplaceAll(a.mark(), " ", "_")] }

// waitForNames connects to the addresses that have names until the sensor knows them.
func (s *scene) waitForNames(t *testing.T, l *lookout) {
	t.Helper()
	deadline := time.After(patience)
	missing := map[string]string{"kubernetes.default.svc.cluster.local": apiAddress + ":443", "pool.minexmr.com": poolAddress + ":3333"}
	for len(missing) > 0 {
		for _, address := range missing {
			if err := s.run(onNetwork, "names", nil, "trigger", "connect", "tcp", localAddress+":0", address); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case name := <-l.known:
			delete(missing, name)
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatalf("the sensor with %s did not learn the addresses of %v within %v", l.rules, missing, patience)
		}
	}
}
