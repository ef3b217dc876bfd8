package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// program is a forwarder that is measured.
type program struct {
	name, path string
	saker      bool
}

// process is a running program.
type process struct {
	cmd     *exec.Cmd
	address string
	dir     string
}

// peerOutputs are ten of Falcosidekick's outputs that send one request an event to any URL.
var peerOutputs = []string{
	"WEBHOOK_ADDRESS", "SLACK_WEBHOOKURL", "ROCKETCHAT_WEBHOOKURL", "MATTERMOST_WEBHOOKURL", "TEAMS_WEBHOOKURL",
	"DISCORD_WEBHOOKURL", "GOOGLECHAT_WEBHOOKURL", "CLIQ_WEBHOOKURL", "NODERED_ADDRESS", "TALON_ADDRESS",
}

// start runs p with one output for each URL, and waits until it answers. Saker gets
// webhooks, the first of them in Falcosidekick's form.
func (p program) start(ctx context.Context, urls []string) (*process, error) {
	dir, err := os.MkdirTemp("", "saker-bench")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var args []string
	env := append(os.Environ(), "LISTENADDRESS=127.0.0.1", "LISTENPORT="+port)
	if p.saker {
		var text strings.Builder
		text.WriteString("ui: {listenport: 0}\noutputs:\n")
		for i, url := range urls {
			fmt.Fprintf(&text, "  webhook%d: {type: webhook, address: %q}\n", i, url)
		}
		if len(urls) == 0 {
			text.WriteString("  {}\n")
		}
		file := filepath.Join(dir, "saker.yaml")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			return nil, err
		}
		args = []string{"forwarder", "-c", file, "--data-dir", filepath.Join(dir, "data")}
	} else {
		for i, url := range urls {
			env = append(env, peerOutputs[i]+"="+url)
		}
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = env
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	run := &process{cmd, "127.0.0.1:" + port, dir}
	if err := run.await(ctx); err != nil {
		run.stop()
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return run, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// await waits until the program is healthy.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			return nil
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("it does not answer: %w\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the process and removes what it wrote.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = os.RemoveAll(p.dir)
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The fields behind the name, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory returns the resident set in MB, now (VmRSS) or at most (VmHWM).
func (p *process) memory(what string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), what+":")
	kB, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kB / 1000
}

func describeMachine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown CPU"
	if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
		model, _, _ = strings.Cut(rest, "\n")
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(release)), runtime.Version())
}
