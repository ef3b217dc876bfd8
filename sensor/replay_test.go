package sensor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/probe"
)

// needKernel skips where no kernel can be watched, which CI forbids by setting
// SAKER_TEST_REQUIRE.
func needKernel(t *testing.T) {
	t.Helper()
	if err := probe.Check(); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// traceRules has a rule on one file, whose output has fields of every origin.
const traceRules = `
- rule: Secret Read
  desc: Somebody reads the secret.
  condition: evt.type in (open, openat, openat2) and fd.name=%q and proc.name=cat
  output: >
    read (file=%%fd.name num=%%fd.num flags=%%evt.arg.flags args=%%evt.args res=%%evt.res dir=%%fd.directory
    proc=%%proc.cmdline exe=%%proc.exepath pid=%%proc.pid tid=%%thread.tid parent=%%proc.pname ppid=%%proc.ppid
    pcmd=%%proc.pcmdline grandparent=%%proc.aname[2] cwd=%%proc.cwd tty=%%proc.tty sid=%%proc.sid started=%%proc.pid.ts
    inode=%%proc.exe_ino user=%%user.name uid=%%user.uid home=%%user.homedir login=%%user.loginuid group=%%group.name
    container=%%container.id cap=%%thread.cap_effective cgroup=%%thread.cgroups env=%%proc.env[SECRET_READER] host=%%evt.hostname)
  priority: WARNING
`

// traceConfig reports to a file alone.
func traceConfig(t *testing.T, rules, alerts string, set ...string) sensor.Config {
	t.Helper()
	text := fmt.Sprintf("rules_files: [%q]\njson_output: true\nfile_output: {enabled: true, filename: %q}\n"+
		"stdout_output: {enabled: false}\nsyslog_output: {enabled: false}\nwebserver: {enabled: false}\n", rules, alerts)
	c, _, err := sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte(text), Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func alertsIn(t *testing.T, path string) []event.Event {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	// The last line may be on its way.
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	if len(content) == 0 {
		return nil
	}
	all, err := event.DecodeAll(content, 0)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAReplayGivesTheAlertsOfTheLiveSensor(t *testing.T) {
	needKernel(t)
	dir := t.TempDir()
	secret, rules := filepath.Join(dir, "secret"), filepath.Join(dir, "rules.yaml")
	write(t, secret, "s3cret")
	write(t, rules, fmt.Sprintf(traceRules, secret))
	live, file := filepath.Join(dir, "live.json"), filepath.Join(dir, "x.capture")
	recordWhile(t, traceConfig(t, rules, live), file, func() {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "cat "+secret+"; true")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "SECRET_READER=yes")
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "s3cret" {
			t.Errorf("the trigger failed: %v, %s", err, out)
		}
		for len(alertsIn(t, live)) == 0 && t.Context().Err() == nil {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-t.Context().Done():
			}
		}
	})
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v", info, err)
	}

	again := filepath.Join(dir, "again.json")
	c := traceConfig(t, rules, again, "engine.kind=replay", "engine.replay.capture_file="+file)
	if err := sensor.Run(t.Context(), c, sensor.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	want, got := alertsIn(t, live), alertsIn(t, again)
	if len(want) != 1 || len(got) != 1 {
		t.Fatalf("%d alerts live, %d of the replay", len(want), len(got))
	}
	if diff := cmp.Diff(facts(t, want[0]), facts(t, got[0])); diff != "" {
		t.Errorf("the replay differs (-live +replay):\n%s", diff)
	}
	if apart := got[0].Time.Sub(want[0].Time).Abs(); apart > 50*time.Millisecond {
		t.Errorf("the times are %v apart", apart)
	}
	if env, _ := want[0].Field("proc.env[SECRET_READER]"); env.Text() != "yes" {
		t.Errorf("the alert does not have all that it could: %v", want[0].Output)
	}
}

// facts are the rule and the fields of an alert, but for times: the clocks of two readers are
// some microseconds apart.
func facts(t *testing.T, e event.Event) map[string]string {
	t.Helper()
	m := map[string]string{"rule": e.Rule, "priority": e.Priority.String(), "hostname": e.Hostname}
	for _, f := range e.Fields {
		if f.Name != "evt.time" && f.Name != "proc.pid.ts" {
			m[f.Name] = f.Value.Text()
		}
	}
	return m
}

// recordWhile runs a sensor and a recording until do has returned.
func recordWhile(t *testing.T, c sensor.Config, file string, do func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan struct{}, 2), make(chan error, 2)
	go func() {
		done <- sensor.Run(ctx, c, sensor.Options{
			Log: slog.New(slog.DiscardHandler), Ready: func(sensor.Started) { ready <- struct{}{} },
		})
	}()
	go func() {
		recorded, err := sensor.Record(ctx, c, file, sensor.RecordOptions{
			Log: slog.New(slog.DiscardHandler), Version: "test", Ready: func() { ready <- struct{}{} },
		})
		if err == nil && (recorded.Records == 0 || recorded.Lost > 0 || recorded.Bytes == 0) {
			err = fmt.Errorf("recorded %+v", recorded)
		}
		done <- err
	}()
	for range 2 {
		select {
		case <-ready:
		case err := <-done:
			stop()
			t.Fatal(errors.Join(err, <-done))
		}
	}
	do()
	stop()
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARecordingEndsWithItsTimeAndItsRoom(t *testing.T) {
	needKernel(t)
	dir := t.TempDir()
	c := traceConfig(t, filepath.Join(dir, "none.yaml"), filepath.Join(dir, "a.json"))
	options := sensor.RecordOptions{Log: slog.New(slog.DiscardHandler), AllKinds: true, NoEnv: true}

	options.Duration = time.Millisecond
	done, err := sensor.Record(t.Context(), c, filepath.Join(dir, "time.capture"), options)
	if err != nil || done.Reason != "its time was over" {
		t.Errorf("ended with %+v, %v", done, err)
	}

	// What is known of this machine's processes alone takes more room than that.
	options.Duration, options.Size = 0, 1<<10
	full := filepath.Join(dir, "full.capture")
	if _, err := sensor.Record(t.Context(), c, full, options); err == nil {
		t.Error("a file of 1 KiB is enough")
	}
	if _, err := os.Stat(full); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file without a record stays: %v", err)
	}

	// Whatever happens on the machine fills the file before its time is over.
	options.Duration, options.Size = time.Hour, 256<<10
	busy := filepath.Join(dir, "busy.capture")
	working, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	options.Ready = func() {
		work.Go(func() {
			for n := 0; working.Err() == nil; n++ {
				_ = exec.CommandContext(working, "/bin/true", fmt.Sprint(n)).Run() // what becomes of it does not matter
			}
		})
	}
	done, err = sensor.Record(t.Context(), c, busy, options)
	if err != nil || done.Reason != "the file has reached its size" || done.Bytes > options.Size {
		t.Errorf("ended with %+v, %v", done, err)
	}
}

func TestAReplayOfAFileThatCannotBePlayedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	rules, file := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "x.capture")
	write(t, rules, fmt.Sprintf(traceRules, "/x"))
	write(t, file, "no capture")
	c := traceConfig(t, rules, filepath.Join(dir, "a.json"), "engine.kind=replay", "engine.replay.capture_file="+file)
	err := sensor.Run(t.Context(), c, sensor.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "it is no capture file") {
		t.Errorf("the error is %v", err)
	}
}
