package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sensor is a running sensor.
type sensor struct {
	cmd *exec.Cmd
	log *lines
	// ready is how long it took until the kernel was watched.
	ready time.Duration
}

// lines keeps what a program prints.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.text.Write(b)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return n, err
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the sensor, alerts posted to url, and returns once it watches.
func (b *bench) start(ctx context.Context, url string) (*sensor, error) {
	args := []string{
		"-o", "stdout_output.enabled=false", "-o", "json_output=true",
		"-o", "spool.dir=" + filepath.Join(b.dir, "spool"),
	}
	if url != "" {
		args = append(args, "-o", "http_output.enabled=true", "-o", "http_output.url="+url)
	}
	for _, r := range b.rules {
		args = append(args, "-r", r)
	}
	s := &sensor{cmd: exec.CommandContext(ctx, b.sensor, args...), log: &lines{more: make(chan struct{}, 1)}}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	deadline := time.After(30 * time.Second)
	for !strings.Contains(s.log.String(), "watching this host") {
		select {
		case <-s.log.more:
		case <-deadline:
			_ = s.cmd.Process.Kill()
			return nil, fmt.Errorf("the sensor does not watch:\n%s", s.log)
		}
	}
	s.ready = time.Since(begin)
	return s, nil
}

var counted = regexp.MustCompile(`\b(events|lost|shed|alerts)=(\d+)`)

// stop ends the sensor and returns what it says that it has counted.
func (s *sensor) stop() (map[string]int, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := s.cmd.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("%w:\n%s", err, s.log)
		}
		return nil, err
	}
	counts := map[string]int{}
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, "the sensor stops") {
			continue
		}
		for _, m := range counted.FindAllStringSubmatch(line, -1) {
			counts[m[1]], _ = strconv.Atoi(m[2])
		}
	}
	return counts, nil
}

var kernelMemory = regexp.MustCompile(`kernel_memory=(\d+)`)

// maps is what the sensor says that its maps take of the kernel's memory, in MB.
func (s *sensor) maps() float64 {
	m := kernelMemory.FindStringSubmatch(s.log.String())
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n / 1e6
}

// cpu is the processor time that the sensor's threads have used, exact to the nanosecond.
func (s *sensor) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// memory returns an entry of /proc/PID/status in MB.
func (s *sensor) memory(key string) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); name == key {
			kb, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb * 1024 / 1e6
		}
	}
	return 0
}

// receive serves a receiver of alerts that calls arrived for each request.
func receive(arrived func(body []byte, at time.Time)) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		arrived(body.Bytes(), at)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	return "http://" + l.Addr().String() + "/", func() { _ = server.Close(); serving.Wait() }, nil
}
