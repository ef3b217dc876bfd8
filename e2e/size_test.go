package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A DaemonSet's image is pulled by every node.
func TestTheSensorIsASmallProgram(t *testing.T) {
	const most = 25_000_000
	file := filepath.Join(t.TempDir(), "saker-sensor")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "../cmd/saker-sensor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > most {
		t.Errorf("saker-sensor has %d bytes, more than %d", info.Size(), most)
	}
}
