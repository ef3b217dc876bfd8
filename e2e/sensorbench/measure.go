package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is one row of the table of loads.
type load struct {
	title, operation string
	// rate in operations a second, 0 for as many as possible.
	rate int
	// path is the file that "open" opens.
	path string
	// name is that of the program that does it; "" for this one's.
	name string
}

func (b *bench) loads() []load {
	quiet := filepath.Join(b.dir, "quiet")
	return []load{
		{"open+close of a file that no rule cares about, 100 000/s", "open", 100_000, quiet, ""},
		{"the same, flat out", "open", 0, quiet, ""},
		// A rule is about this file, but not about this program.
		{"open+close of a file that a rule looks at, by a program that it exempts, 20 000/s", "open", 20_000, "/etc/shadow", "login"},
		// No kernel filter can tell where such a path leads, so that every rule looks at it.
		{"open+close of a file by a path with .. in it, 20 000/s", "open", 20_000, b.dir + "/../" + filepath.Base(b.dir) + "/quiet", ""},
		{"1 000 execs/s of /bin/true", "exec", 1_000, "", ""},
		{"20 000 connects/s over loopback", "connect", 20_000, "", ""},
	}
}

// spread is the middle of several figures, and how far they lie apart.
func spread(values []float64, format string) string {
	slices.Sort(values)
	return fmt.Sprintf(format+" ("+format+" to "+format+")", values[len(values)/2], values[0], values[len(values)-1])
}

// rounds is how often each load runs with the sensor and without, in turn.
const rounds = 3

func (b *bench) measureLoads(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(b.dir, "quiet"), nil, 0o600); err != nil {
		return err
	}
	if err := b.measureIdle(ctx); err != nil {
		return err
	}
	fmt.Println("\n| load | sensor: % of one core | program: operations a second with the sensor | without | slower | events read | lost or shed | alerts |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, l := range b.loads() {
		if err := b.measureLoad(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", l.title, err)
		}
	}
	return nil
}

func (b *bench) measureIdle(ctx context.Context) error {
	s, err := b.start(ctx, "")
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // what a start costs is not what idling costs
	before, err := s.cpu()
	if err != nil {
		return err
	}
	time.Sleep(b.idle)
	after, err := s.cpu()
	if err != nil {
		return err
	}
	fmt.Printf("idle: %.2f %% of one core, %.1f MB resident, %.1f MB of it anonymous, %.1f MB of maps in the kernel, ready after %s\n",
		100*(after-before).Seconds()/b.idle.Seconds(), s.memory("VmRSS"), s.memory("RssAnon"), s.maps(), s.ready.Round(time.Millisecond))
	_, err = s.stop()
	return err
}

func (b *bench) measureLoad(ctx context.Context, l load) error {
	var used, with, without []float64
	counts := map[string]int{}
	for range rounds {
		bare, err := b.runLoad(ctx, l)
		if err != nil {
			return err
		}
		without = append(without, bare)
		s, err := b.start(ctx, "")
		if err != nil {
			return err
		}
		before, err := s.cpu()
		if err != nil {
			return err
		}
		start := time.Now()
		watched, err := b.runLoad(ctx, l)
		if err != nil {
			return err
		}
		after, err := s.cpu()
		if err != nil {
			return err
		}
		used = append(used, 100*(after-before).Seconds()/time.Since(start).Seconds())
		with = append(with, watched)
		c, err := s.stop()
		if err != nil {
			return err
		}
		for k, v := range c {
			counts[k] += v
		}
	}
	slower := "" // a load that keeps its rate loses nothing
	if l.rate == 0 {
		slices.Sort(with)
		slices.Sort(without)
		a, w := without[rounds/2], with[rounds/2]
		slower = fmt.Sprintf("%.0f %%, %.2f µs an operation", 100*(a/w-1), 1e6/w-1e6/a)
	}
	fmt.Printf("| %s | %s | %.0f | %.0f | %s | %d | %d | %d |\n", l.title, spread(used, "%.1f"),
		middle(with), middle(without), slower, counts["events"]/rounds, counts["lost"]+counts["shed"], counts["alerts"])
	return nil
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// runLoad makes the load in a process of its own and returns its operations a second.
func (b *bench) runLoad(ctx context.Context, l load) (float64, error) {
	program, err := b.program(cmp.Or(l.name, "load"))
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, loadCommand, l.operation, b.length.String(), strconv.Itoa(l.rate), l.path)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return 0, err
	}
	return float64(r.Operations) / r.Took.Seconds(), nil
}

// program returns the path of a copy of this program with the given name.
func (b *bench) program(name string) (string, error) {
	path := filepath.Join(b.dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, self, 0o755)
}

// measureLatency does, on an otherwise idle machine, what a rule is about and takes the time
// until the alert arrives.
func (b *bench) measureLatency(ctx context.Context) error {
	const actions, every = 300, 50 * time.Millisecond
	arrivals := make(chan time.Time, 16)
	url, stop, err := receive(func(body []byte, at time.Time) {
		if bytes.Contains(body, []byte("/etc/shadow")) {
			arrivals <- at
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	s, err := b.start(ctx, url)
	if err != nil {
		return err
	}
	var took []time.Duration
	for range actions {
		time.Sleep(every)
		begin := time.Now()
		f, err := os.Open("/etc/shadow")
		if err != nil {
			return err
		}
		_ = f.Close()
		select {
		case at := <-arrivals:
			took = append(took, at.Sub(begin))
		case <-time.After(10 * time.Second):
			return fmt.Errorf("no alert arrives:\n%s", s.log)
		}
	}
	if _, err := s.stop(); err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("alert latency, action to HTTP receiver, %d actions: median %s, p99 %s, most %s\n", len(took),
		took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	return nil
}

// measureMemory starts the sensor on a host with many processes in many containers.
func (b *bench) measureMemory(ctx context.Context) error {
	const processes, containers = 5000, 200
	parents, err := cgroupParents()
	if err != nil {
		return err
	}
	var folders []string
	defer func() {
		for _, f := range slices.Backward(folders) {
			for range 100 {
				if os.Remove(f) == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	var crowd []*exec.Cmd
	defer func() {
		for _, c := range crowd {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	for i := range containers {
		var into []string
		for _, p := range parents {
			f := filepath.Join(p, fmt.Sprintf("libpod-%064x", i+1))
			if err := os.Mkdir(f, 0o755); err != nil {
				return err
			}
			folders, into = append(folders, f), append(into, f)
		}
		for range processes / containers {
			cmd := exec.CommandContext(ctx, "/bin/busybox", "sleep", "600")
			if err := cmd.Start(); err != nil {
				return err
			}
			crowd = append(crowd, cmd)
			for _, f := range into {
				if err := os.WriteFile(filepath.Join(f, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
					return err
				}
			}
		}
	}
	s, err := b.start(ctx, "")
	if err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	fmt.Printf("with %d processes in %d containers: ready after %s, %.1f MB resident, %.1f MB of it anonymous\n",
		processes, containers, s.ready.Round(time.Millisecond), s.memory("VmRSS"), s.memory("RssAnon"))
	_, err = s.stop()
	return err
}

// cgroupParents are the hierarchies in which containers can be made up: the unified one, or
// the first of version 1 that allows it.
func cgroupParents() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return []string{f[1]}, nil
		}
	}
	return nil, fmt.Errorf("no cgroup2 file system is mounted")
}
