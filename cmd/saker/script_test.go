package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/saker-security/saker/sensor/probe"
)

var update = flag.Bool("update", false, "rewrite what the scripts expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"saker": main})
}

// The scripts are what a person types and sees.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TOMORROW", time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server":   server,
			"freeport": freePort,
			"ready":    ready,
			"until":    until,
		},
	})
}

// condition knows [kernel]: the sensor can watch this host.
func condition(name string) (bool, error) {
	if name != "kernel" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	err := probe.Check()
	if err != nil && os.Getenv("SAKER_TEST_REQUIRE") != "" {
		return false, err
	}
	return err == nil, nil
}

// server starts a web server for the rest of the script that answers every request with a
// status, or one that has already gone if that is "gone", and puts its address into a
// variable:
//
//	server STATUS|gone VARIABLE
func server(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: server STATUS|gone VARIABLE")
	}
	status, err := strconv.Atoi(args[0])
	if err != nil && args[0] != "gone" {
		ts.Fatalf("server: %q is no status", args[0])
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, "the server's own words") // the client has gone, if this fails
	}))
	ts.Setenv(args[1], s.URL)
	if args[0] == "gone" {
		s.Close()
		return
	}
	ts.Defer(s.Close)
}

// freePort puts a port that nobody listens on into each of the variables:
//
//	freeport VARIABLE...
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: freeport VARIABLE...")
	}
	var lc net.ListenConfig
	for _, variable := range args {
		l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		ts.Check(err)
		// Open until all ports are found, so that they differ.
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(variable, port)
	}
}

// ready waits until a forwarder takes events:
//
//	ready PORT
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready PORT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+args[0]+"/readyz", nil)
		ts.Check(err)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the forwarder is not ready: %v", err)
		}
	}
}

// until runs a command again and again until it succeeds and prints what an expression
// matches, line by line:
//
//	until EXPRESSION COMMAND [ARGUMENT...]
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until EXPRESSION COMMAND [ARGUMENT...]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%v does not print %q (%v)", args[1:], args[0], err)
		}
	}
}
