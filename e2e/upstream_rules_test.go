package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Falco's stable rules file, unmodified, fires on the attacks it was written for.
func TestFalcosStableRulesFire(t *testing.T) {
	needRoot(t)
	needPodman(t)
	folder := os.Getenv("SAKER_UPSTREAM_RULES")
	if folder == "" {
		t.Skip("SAKER_UPSTREAM_RULES does not name the folder with Falco's rules files")
	}
	p := start(t, "saker-sensor", "-r", filepath.Join(folder, "falco_rules.yaml"), "-o", "json_output=true", "-o", "stdout_output.enabled=true")
	p.waitFor(t, "watching this host")
	alerts := make(chan alert, 100_000)
	go func() {
		for line := range p.lines {
			var a alert
			if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &a) == nil && a.Rule != "" {
				alerts <- a
			}
		}
	}()

	dir := t.TempDir()
	trigger := programs["trigger"]
	as := func(name string) string {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			run(t, "cp", trigger, path)
		}
		return path
	}
	shm := fmt.Sprintf("/dev/shm/saker-e2e-%d", os.Getpid())
	t.Cleanup(func() { os.Remove(shm) })
	unconfined := []string{"--security-opt", "seccomp=unconfined"}
	host := func(args ...string) func(*testing.T) {
		return func(t *testing.T) { run(t, args[0], args[1:]...) }
	}
	contained := func(options []string, args ...string) func(*testing.T) {
		return func(t *testing.T) {
			inContainer(t, append(append(append([]string{}, options...), "--"), args...)...)
		}
	}

	for _, c := range []struct {
		rule   string
		action func(*testing.T)
	}{
		{"Directory traversal monitored file read", host(trigger, "read", "/etc/../etc/../etc/shadow")},
		{"Read sensitive file untrusted", host("cat", "/etc/shadow")},
		// The rule is about servers that have run for more than five seconds.
		{"Read sensitive file trusted after startup", host(as("nginx"), "read-later", "6s", "/etc/shadow")},
		{"Run shell untrusted", host(as("httpd"), "spawn", "/bin/sh", "-c", "true")},
		{"System user interactive", host(trigger, "spawn-as", "daemon", "/bin/login")},
		{"Terminal shell in container", contained([]string{"-t"}, "/bin/sh", "-c", "true")},
		{"Netcat Remote Code Execution in Container", contained(nil, "/bin/trigger", "spawn", "/bin/nc", "-e", "/bin/sh", "127.0.0.1", "1")},
		{"Search Private Keys or Passwords", host("find", dir, "-name", "id_rsa")},
		{"Clear Log Activities", host(trigger, "truncate", filepath.Join(dir, "syslog"))},
		{"Remove Bulk Data from Disk", func(t *testing.T) {
			file := filepath.Join(dir, "shredded")
			run(t, "cp", "/etc/passwd", file)
			run(t, "shred", "-u", file)
		}},
		{"Create Symlink Over Sensitive Files", host("ln", "-s", "/etc", filepath.Join(dir, "link"))},
		{"Create Hardlink Over Sensitive Files", func(t *testing.T) {
			link := "/etc/.saker-e2e-link"
			t.Cleanup(func() { os.Remove(link) })
			run(t, "ln", "/etc/shadow", link)
		}},
		{"Packet socket created in container", contained(append([]string{"--cap-add", "NET_RAW"}, unconfined...), "/bin/trigger", "packet-socket")},
		{"Redirect STDOUT/STDIN to Network Connection in Container", contained(nil, "/bin/trigger", "redirect")},
		{"Linux Kernel Module Injection Detected", contained(append([]string{"--cap-add", "SYS_MODULE"}, unconfined...), "/bin/trigger", "load-module")},
		{"Detect release_agent File Container Escapes", contained(append([]string{"--cap-add", "SYS_ADMIN"}, unconfined...), "/bin/trigger", "write", "/tmp/release_agent")},
		{"PTRACE attached to process", host(trigger, "attach")},
		{"PTRACE anti-debug attempt", host(trigger, "trace-me")},
		{"Find AWS Credentials", host("find", dir, "-iname", ".aws/credentials")},
		{"Execution from /dev/shm", host(trigger, "copy-and-run", shm)},
		{"Drop and execute new binary in container", contained(nil, "/bin/trigger", "copy-and-run", "/usr/bin/dropped")},
		{"Disallowed SSH Connection Non Standard Port", func(t *testing.T) { sshInOwnNetwork(t, as("ssh")) }},
		{"Fileless execution via memfd_create", host(trigger, "memfd")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			c.action(t)
			a := expect(t, alerts, fmt.Sprintf("of rule %q", c.rule), func(a alert) bool { return a.Rule == c.rule })
			for _, field := range []string{"container.id", "container.name", "k8s.ns.name", "k8s.pod.name", "evt.time"} {
				if _, ok := a.OutputFields[field]; !ok {
					t.Errorf("output_fields lacks %s, which Falco adds to every alert: %v", field, a.OutputFields)
				}
			}
			if strings.Contains(c.rule, "ontainer") != (a.OutputFields["container.id"] != "host") && c.rule != "Linux Kernel Module Injection Detected" {
				t.Errorf("container.id is %v", a.OutputFields["container.id"])
			}
		})
	}
}

// sshInOwnNetwork connects to port 443 of a documentation address that exists only in a
// network namespace of the test's own.
func sshInOwnNetwork(t *testing.T, ssh string) {
	t.Helper()
	const address = "203.0.113.1"
	run(t, "ip", "netns", "exec", ownNetwork(t, address), ssh, "serve-and-connect", address+":443")
}
