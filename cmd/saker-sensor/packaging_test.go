package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
)

// What systemd says of the unit but that the program is not installed here.
func TestTheUnitIsOneThatSystemdTakes(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal("systemd-analyze is missing: install the package systemd")
		}
		t.Skip("systemd-analyze is not here")
	}
	out, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", "packaging/saker-sensor.service").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "saker-sensor.service") && !strings.Contains(line, "is not executable") {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestTheUnitGivesTheSensorFourCapabilities(t *testing.T) {
	text, err := os.ReadFile("packaging/saker-sensor.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_SYS_RESOURCE\n", "NoNewPrivileges=yes\n",
		"ProtectSystem=strict\n", "ExecReload=/bin/kill -HUP $MAINPID\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
}

func TestThePackagesConfigurationIsRight(t *testing.T) {
	c, loaded, err := sensor.LoadConfig(config.Source{File: "packaging/saker-sensor.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Warnings) > 0 {
		t.Error(loaded.Warnings)
	}
	if c.HTTP.Enabled || c.Webserver.Address != "127.0.0.1" {
		t.Errorf("as installed the sensor posts to %q and listens on %q", c.HTTP.URL, c.Webserver.Address)
	}
}

// A recipe that names a file which is not there fails only when somebody makes a release.
func TestThePackagesFilesAreThere(t *testing.T) {
	text, err := os.ReadFile("packaging/nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var recipe struct {
		Contents []struct{ Src, Dst, Type string }
		Scripts  map[string]string
	}
	if err := yaml.Unmarshal(text, &recipe); err != nil {
		t.Fatal(err)
	}
	var sources []string
	installed := map[string]bool{}
	for _, c := range recipe.Contents {
		installed[c.Dst] = true
		if c.Type != "dir" {
			sources = append(sources, c.Src)
		}
	}
	for _, script := range recipe.Scripts {
		sources = append(sources, script)
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join("../..", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
	for _, source := range slices.Compact(sources) {
		if strings.HasPrefix(source, "bin/") {
			continue // built by make
		}
		if _, err := os.Stat(filepath.Join("../..", source)); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"/usr/bin/saker-sensor", "/etc/saker/saker-sensor.yaml", "/etc/saker/rules.yaml", "/lib/systemd/system/saker-sensor.service"} {
		if !installed[path] {
			t.Errorf("the unit or the configuration names %s, which the packages do not install", path)
		}
	}
}
