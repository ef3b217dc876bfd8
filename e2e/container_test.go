package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// image is the local name of the image that the tests make: a static busybox and the
// trigger, nothing from any registry.
const image = "localhost/saker-e2e:test"

var buildImage = sync.OnceValue(func() error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(h tar.Header, content []byte) error {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	for _, dir := range []string{
		"bin", "usr/bin", "usr/bin/empty", "usr/local/bin", "etc", "etc/apt/sources.list.d", "etc/cron.d", "tmp", "root", "root/.ssh", "data",
		"home/user/.ssh", "host", "var/lib/rpm", "proc", "sys", "dev",
	} {
		if err := add(tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	for path, from := range map[string]string{"bin/busybox": "/bin/busybox", "bin/trigger": programs["trigger"]} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := add(tar.Header{Name: path, Mode: 0o755}, content); err != nil {
			return err
		}
	}
	for _, applet := range []string{"sh", "cat", "nc", "tar", "true", "cp", "touch", "rm", "mv", "sleep"} {
		if err := add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil); err != nil {
			return err
		}
	}
	// Stand-ins: what counts is a program of that name.
	for _, name := range []string{
		"apk", "curl", "debugfs", "kubectl", "mount", "nmap", "openvpn", "scp", "ssh", "to-be-renamed", "to-be-renamed-2", "wget", "yarn",
	} {
		if err := add(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeLink, Linkname: "bin/trigger", Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	for path, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n",
		"etc/group":         "root:x:0:\ndaemon:x:1:\n",
		"etc/motd":          "hello\n",
		"etc/shadow":        "root:*::0:::::\n",
		"root/.ssh/id_rsa":  "no key\n",
		"data/secret":       "no secret\n",
		"data/becoming-exe": "no program\n",
		"data/x.list":       "# none\n",

		"home/user/.ssh/known_hosts": "none\n",
	} {
		if err := add(tar.Header{Name: path, Mode: 0o644}, []byte(text)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	before, _ := exec.Command("podman", "image", "inspect", "-f", "{{.Id}}", image).Output()
	cmd := exec.Command("podman", "import", "-", image)
	cmd.Stdin = &layer
	if out, err := cmd.CombinedOutput(); err != nil {
		return &exec.Error{Name: "podman import: " + string(out), Err: err}
	}
	// The image of an earlier run has no name now, and would stay for ever.
	if id := strings.TrimSpace(string(before)); id != "" {
		_ = exec.Command("podman", "image", "rm", id).Run()
	}
	return nil
})

// needPodman skips, or fails where the tests are required, when no container can be run.
func needPodman(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		missing(t, "podman is not installed")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		missing(t, "the static busybox is not installed")
	}
	if err := buildImage(); err != nil {
		t.Fatal(err)
	}
}

// limits are options of podman for machines that do not let it raise limits.
var limits = []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"}

// inContainer runs a command in a container of its own, without a network unless the
// options say otherwise. Options, if any, are podman's and stand before a "--".
func inContainer(t *testing.T, args ...string) string {
	t.Helper()
	var options []string
	for i, a := range args {
		if a == "--" {
			options, args = args[:i], args[i+1:]
			break
		}
	}
	all := append([]string{"run", "--rm"}, limits...)
	if !slices.Contains(options, "--network") {
		all = append(all, "--network", "none")
	}
	all = append(append(append(all, options...), image), args...)
	return strings.TrimSpace(run(t, "podman", all...))
}

// ownNetwork makes a network namespace in which this machine has the given addresses, which
// exist nowhere else, and returns its name.
func ownNetwork(t *testing.T, addresses ...string) string {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		missing(t, "the ip command is not installed")
	}
	name := fmt.Sprintf("saker-e2e-%d", os.Getpid())
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	run(t, "ip", "-n", name, "link", "set", "lo", "up")
	for _, a := range addresses {
		run(t, "ip", "-n", name, "addr", "add", a+"/32", "dev", "lo")
	}
	return name
}
