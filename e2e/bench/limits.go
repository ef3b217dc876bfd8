package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// bareServer is the argument that makes this program a bare server, in a process of its
// own so that its CPU time can be told from the sender's.
const bareServer = "bare-server"

// serveBare answers requests as cheaply as net/http does: it reads the body and answers.
func serveBare() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("LISTENPORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = http.Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { //nolint:gosec // timeouts would cost what is not measured
		_, _ = io.Copy(io.Discard, r.Body)
	}))
}

func startBare(ctx context.Context) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, bareServer)
	cmd.Env = append(os.Environ(), "LISTENPORT="+port)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	run := &process{cmd: cmd, address: "127.0.0.1:" + port}
	if err := run.await(ctx); err != nil {
		run.stop()
		return nil, err
	}
	return run, nil
}

func measureLimits(ctx context.Context, _ machine) error {
	head("limit", "clients", "events in a request", "requests a second", "events a second", "CPU µs for a request")
	for _, c := range []struct{ clients, batch, events int }{{8, 1, 200_000}, {64, 1, 200_000}, {8, 100, 2_000_000}} {
		run, err := startBare(ctx)
		if err != nil {
			return err
		}
		before := run.cpu()
		took, err := load{address: run.address, clients: c.clients, events: c.events, batch: c.batch}.send(ctx)
		used := run.cpu() - before
		run.stop()
		if err != nil {
			return err
		}
		requests := float64(c.events / c.batch)
		row("bare server", c.clients, c.batch, fmt.Sprintf("%.0f", requests/took.Seconds()),
			fmt.Sprintf("%.0f", float64(c.events)/took.Seconds()), fmt.Sprintf("%.1f", float64(used.Microseconds())/requests))
	}
	return measureBareClient(ctx)
}

// measureBareClient counts this process's own CPU time, less what the receiver takes,
// which is measured with the sender of the other measurements in the client's place.
func measureBareClient(ctx context.Context) error {
	const requests = 100_000
	r, err := receive(0)
	if err != nil {
		return err
	}
	defer r.close()
	body := appendEvent(nil, 1)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	start, before := time.Now(), ownCPU()
	for range requests {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	took, both := time.Since(start), ownCPU()-before
	client.CloseIdleConnections()

	before = ownCPU()
	if _, err := (load{address: r.listener.Addr().String(), clients: 1, events: requests, batch: 1}).send(ctx); err != nil {
		return err
	}
	// Sender and receiver of this program cost about the same.
	receiving := (ownCPU() - before) / 2
	row("bare client", 1, 1, fmt.Sprintf("%.0f", requests/took.Seconds()), fmt.Sprintf("%.0f", requests/took.Seconds()),
		fmt.Sprintf("%.1f", float64((both-receiving).Microseconds())/requests))
	return nil
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func measureIngest(ctx context.Context, m machine) error {
	head("program", "clients", "events in a request", "events a second", "CPU µs for an event")
	for _, p := range m.programs() {
		for _, c := range []struct{ clients, batch, events int }{{1, 1, 50_000}, {8, 1, 200_000}, {64, 1, 200_000}, {8, 100, 2_000_000}} {
			if !p.saker && c.batch > 1 {
				continue // it takes one event a request
			}
			run, err := p.start(ctx, nil)
			if err != nil {
				return err
			}
			before := run.cpu()
			took, err := load{address: run.address, clients: c.clients, events: c.events, batch: c.batch}.send(ctx)
			used := run.cpu() - before
			run.stop()
			if err != nil {
				return err
			}
			row(p.name, c.clients, c.batch, fmt.Sprintf("%.0f", float64(c.events)/took.Seconds()),
				fmt.Sprintf("%.1f", float64(used.Microseconds())/float64(c.events)))
		}
	}
	return nil
}
