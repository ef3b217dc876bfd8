package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// up starts `saker up` with one webhook and returns the webhook's alerts and the page's
// address.
func up(t *testing.T) (hook *receiver, page string) {
	t.Helper()
	needRoot(t)
	hook = newReceiver(t, nil)
	port, pagePort := freePort(t), freePort(t)
	config := writeFile(t, "saker.yaml", fmt.Sprintf(`
listenaddress: 127.0.0.1
listenport: %d
ui:
  listenport: %d
webhook:
  address: %s
`, port, pagePort, hook.URL))
	p := start(t, "saker", "up", "-c", config, "--data-dir", t.TempDir())
	p.waitFor(t, "watching this host")
	return hook, fmt.Sprintf("http://127.0.0.1:%d", pagePort)
}

// follow reads the page's stream of alerts.
func follow(t *testing.T, page string) <-chan alert {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+"/api/v2/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %s", resp.Status)
	}
	alerts := make(chan alert, 10_000)
	go func() {
		defer resp.Body.Close()
		s := bufio.NewScanner(resp.Body)
		s.Buffer(nil, 2<<20)
		for s.Scan() {
			data, ok := strings.CutPrefix(s.Text(), "data:")
			if !ok {
				continue
			}
			var item struct {
				Event alert `json:"event"`
			}
			if json.Unmarshal([]byte(strings.TrimSpace(data)), &item) == nil && item.Event.Rule != "" {
				alerts <- item.Event
			}
		}
	}()
	return alerts
}

func TestReadingShadowIsOnThePageAndInTheWebhook(t *testing.T) {
	hook, page := up(t)
	stream := follow(t, page)

	began := time.Now()
	run(t, "cat", "/etc/shadow")
	fits := func(a alert) bool {
		return a.Rule == "Sensitive File Read" && a.OutputFields["proc.name"] == "cat"
	}
	got := expect(t, hook.alerts, "for cat /etc/shadow in the webhook", fits)
	t.Logf("in the webhook after %v", time.Since(began))
	shown := expect(t, stream, "for cat /etc/shadow on the page", fits)
	t.Logf("on the page after %v", time.Since(began))

	if got.UUID != shown.UUID || got.UUID == "" {
		t.Errorf("the webhook got event %q, the page %q", got.UUID, shown.UUID)
	}
	for field, want := range map[string]any{
		"fd.name": "/etc/shadow", "proc.cmdline": "cat /etc/shadow", "user.name": "root", "container.id": "host",
	} {
		if got.OutputFields[field] != want {
			t.Errorf("%s is %v, want %v", field, got.OutputFields[field], want)
		}
	}
	if got.Priority != "Warning" || got.Source != "syscall" || got.Hostname == "" {
		t.Errorf("priority %q, source %q, hostname %q", got.Priority, got.Source, got.Hostname)
	}
}

// Without the right to watch the kernel Saker says what is missing and takes the alerts of
// other sensors.
func TestWithoutRootTheForwarderRunsAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		missing(t, "becoming another user needs root")
	}
	const nobody = 65534
	hook := newReceiver(t, nil)
	data := t.TempDir()
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	public(t, data)
	port := freePort(t)
	config := filepath.Join(data, "saker.yaml")
	text := fmt.Sprintf("listenport: %d\nui: {enabled: false}\nwebhook: {address: %q}\n", port, hook.URL)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startAs(t, &syscall.Credential{Uid: nobody, Gid: nobody}, "saker", "up", "-c", config, "--data-dir", data)
	if line := p.waitFor(t, "cannot be watched"); !strings.Contains(line, "root") && !strings.Contains(line, "CAP_BPF") {
		t.Errorf("it does not say what is missing: %s", line)
	}
	p.waitFor(t, "send alerts")
	if !post(fmt.Sprintf("http://127.0.0.1:%d/", port), 1) {
		t.Fatal("the forwarder does not take alerts")
	}
	expect(t, hook.alerts, "sent by hand", func(a alert) bool { return a.Output == "event 1" })
}

// scenario is an action and the default rule that must fire for it.
type scenario struct {
	rule   string
	action []string
}

// public opens the folders above dir, which belong to the test's user, to all others.
func public(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDefaultRulesFireOnTheHost(t *testing.T) {
	hook, _ := up(t)
	dir := t.TempDir()
	shm := fmt.Sprintf("/dev/shm/saker-e2e-default-%d", os.Getpid())
	t.Cleanup(func() { os.Remove(shm) })
	trigger, server, key := programs["trigger"], filepath.Join(dir, "nginx"), filepath.Join(dir, ".ssh", "id_ed25519")
	run(t, "cp", trigger, server)
	if err := os.Mkdir(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "touch", key)
	network := ownNetwork(t, "203.0.113.1")
	public(t, dir)
	sandbox := filepath.Join(dir, "sandbox")
	run(t, "cp", "/usr/bin/unshare", sandbox)

	for _, c := range []scenario{
		{"Program Run from Memory", []string{trigger, "memfd"}},
		{"Program Run from Shared Memory", []string{trigger, "copy-and-run", shm}},
		{"Shell Spawned by Server", []string{server, "spawn", "/bin/sh", "-c", "true"}},
		{"Private Key Read", []string{trigger, "read", key}},
		{"Container File Changed from Host", []string{trigger, "write", fmt.Sprintf("/proc/%d/root%s/file", os.Getpid(), dir)}},
		{"User Namespace Created on Host", []string{trigger, "spawn-as", "nobody", sandbox, "--user", "/bin/true"}},
		{"Outbound Connection to Miner Pool Port", []string{"ip", "netns", "exec", network, trigger, "serve-and-connect", "203.0.113.1:3333"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			run(t, c.action[0], c.action[1:]...)
			a := expect(t, hook.alerts, "of the rule", func(a alert) bool { return a.Rule == c.rule })
			if a.OutputFields["container.id"] != "host" {
				t.Errorf("container.id is %v", a.OutputFields["container.id"])
			}
		})
	}
}

func TestDefaultRulesFireInAContainer(t *testing.T) {
	needPodman(t)
	hook, _ := up(t)
	unconfined := func(capability string, args ...string) []string {
		return append([]string{"--cap-add", capability, "--security-opt", "seccomp=unconfined", "--", "/bin/trigger"}, args...)
	}
	network := ownNetwork(t, "203.0.113.1", "169.254.169.254")
	connected := func(address string) []string {
		return []string{"--network", "ns:/var/run/netns/" + network, "--", "/bin/trigger", "serve-and-connect", address}
	}
	for _, c := range []scenario{
		{"Package Manager Run in Container", []string{"/bin/apk", "noop"}},
		{"Shell Run in Container", []string{"-t", "--", "/bin/sh", "-c", "true"}},
		{"SSH Program Run in Container", []string{"/bin/ssh", "noop"}},
		{"Container Client Run in Container", []string{"/bin/kubectl", "noop"}},
		{"Mail or VPN Program Run in Container", []string{"/bin/openvpn", "noop"}},
		{"Sensitive File Read", []string{"/bin/cat", "/etc/shadow"}},
		{"Dropped Binary Run in Container", []string{"/bin/trigger", "copy-and-run", "/usr/bin/dropped"}},
		{"Namespace Created in Container", unconfined("SYS_ADMIN", "unshare")},
		{"Namespace Entered from Container", unconfined("SYS_ADMIN", "enter")},
		{"Kernel Module Load Attempted in Container", unconfined("SYS_MODULE", "load-module")},
		{"Unusual Outbound Connection from Container", connected("203.0.113.1:9999")},
		{"SSH Connection from Container", connected("203.0.113.1:22")},
		{"SSH Connection to Container", connected("203.0.113.1:22")},
		{"Cloud Metadata Service Contacted from Container", connected("169.254.169.254:80")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			inContainer(t, c.action...)
			a := expect(t, hook.alerts, "of the rule in a container", func(a alert) bool {
				return a.Rule == c.rule && a.OutputFields["container.id"] != "host"
			})
			if id, _ := a.OutputFields["container.id"].(string); len(id) != 12 {
				t.Errorf("container.id is %q, want 12 hexadecimal digits", id)
			}
		})
	}
}

// Starting and stopping containers is what a node does all day.
func TestAnOrdinaryContainerCausesNoWarning(t *testing.T) {
	needPodman(t)
	hook, _ := up(t)
	for range 3 {
		inContainer(t, "/bin/true")
	}
	// The alerts come in order: once the last one is here, all before it are.
	run(t, "cat", "/etc/shadow")
	expect(t, hook.alerts, "for cat /etc/shadow", func(a alert) bool {
		if a.Rule == "Sensitive File Read" && a.OutputFields["container.id"] == "host" {
			return true
		}
		if a.Priority != "Notice" && a.Priority != "Informational" && a.Priority != "Debug" {
			t.Errorf("rule %q fired: %s", a.Rule, a.Output)
		}
		return false
	})
}

// A container that has run for a while changes its own files.
func TestContainerDriftIsSeen(t *testing.T) {
	needPodman(t)
	hook, _ := up(t)
	// The rules leave a container its first five seconds; waiting them out is the scenario.
	script := "sleep 6; echo x > /etc/new; echo x >> /etc/motd; mv /etc/new /etc/newer; rm /etc/newer"
	inContainer(t, "/bin/sh", "-c", script)
	want := map[string]bool{"File Created in Container": true, "File Modified in Container": true, "File Renamed in Container": true, "File Deleted in Container": true}
	expect(t, hook.alerts, "for each kind of drift", func(a alert) bool {
		delete(want, a.Rule)
		return len(want) == 0
	})
}
