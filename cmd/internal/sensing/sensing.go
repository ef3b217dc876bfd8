// Package sensing holds the commands that saker and saker-sensor share: watching the
// kernel, and looking at rules.
//
// It knows the sensor and no forwarder, so that saker-sensor stays small.
package sensing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// Watch is the command that runs the sensor alone.
type Watch struct {
	Config   string        `short:"c" placeholder:"FILE" help:"Configuration file, in the form of falco.yaml."`
	Rules    []string      `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder, instead of the configuration's. Repeat for more."`
	Set      []string      `short:"o" placeholder:"KEY=VALUE" sep:"none" help:"Setting that overrides file and environment. Repeat for more."`
	Replay   string        `placeholder:"FILE" help:"Play a file that \"rules record\" made instead of watching the kernel, and end."`
	Duration time.Duration `name:"duration" placeholder:"TIME" help:"End after this time, for example 10m."`
	PIDFile  string        `name:"pidfile" short:"P" placeholder:"FILE" help:"Write the number of the process to a file."`
	DryRun   bool          `name:"dry-run" help:"Check configuration and rules and end."`
	Lenient  bool          `help:"Warn of unknown keys instead of refusing them."`
	Debug    bool          `short:"v" help:"Log debug lines."`

	// Only and Without are sources that alone are watched, and that are not.
	Only    []string `kong:"-"`
	Without []string `kong:"-"`
}

// Run watches the kernel until ctx ends. A SIGHUP has rules and settings read again.
func (w *Watch) Run(ctx context.Context) error {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // first of all: nobody listening, it ends the program
	defer signal.Stop(hangUp)
	if w.Replay != "" {
		w.Set = append(w.Set, "engine.kind=replay", "engine.replay.capture_file="+w.Replay)
	}
	c, loaded, err := w.load()
	if err != nil {
		return err
	}
	log, level := newLog(c.Log, w.Debug)
	warn(log, loaded.Warnings)
	if w.DryRun {
		return sensor.Check(c, sensor.Options{Log: log, Rules: w.Rules})
	}
	if c.WatchesKernel() && w.watches(syscalls.SourceName) {
		if err := probe.Check(); err != nil {
			return fmt.Errorf("this host's kernel cannot be watched: %w", err)
		}
	}
	if w.PIDFile != "" {
		if err := writePID(w.PIDFile); err != nil {
			return err
		}
		defer os.Remove(w.PIDFile)
	}
	if w.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.Duration)
		defer cancel()
	}
	reopen, stop := OnReopen()
	defer stop()
	r := newReloader(c, loaded, w.load, hangUp, func(c sensor.Config, warnings config.Problems) {
		warn(log, warnings)
		level.Set(c.Log.Slog(w.Debug))
	})
	watching, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.run(watching) })
	err = sensor.Run(ctx, c, sensor.Options{
		Log: log, Version: version.String(), Only: w.Only, Without: w.Without, Rules: w.Rules, Reopen: reopen, Reload: r.reload, Read: r.read,
	})
	end()
	wg.Wait()
	return err
}

// watches reports whether a source is to be watched.
func (w *Watch) watches(source string) bool {
	return !slices.Contains(w.Without, source) && (len(w.Only) == 0 || slices.Contains(w.Only, source))
}

// load reads the configuration.
func (w *Watch) load() (sensor.Config, *config.Loaded, error) {
	return sensor.LoadConfig(config.Source{File: w.Config, Environ: os.Environ(), Set: w.Set, Lenient: w.Lenient})
}

// writePID writes the number of this process.
func writePID(file string) error {
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return fmt.Errorf("write the number of the process: %w", err)
	}
	return nil
}

// warn logs warnings, those that say the same of several keys as one: Falco's own falco.yaml
// has some sixty settings that have no effect here.
func warn(log *slog.Logger, warnings config.Problems) {
	keys := map[string][]string{}
	for _, w := range warnings {
		keys[w.Message] = append(keys[w.Message], w.Key)
	}
	for _, w := range warnings {
		switch same := keys[w.Message]; {
		case len(same) == 1:
			log.Warn("configuration", "problem", w.Error())
		case len(same) > 1:
			log.Warn("configuration", "problem", w.Message, "keys", same)
		}
		delete(keys, w.Message)
	}
}

// OnReopen returns a channel of the signal that asks for the alert file to be opened anew,
// and the function that stops it.
func OnReopen() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c, func() { signal.Stop(c) }
}

// Interruptible returns a context that the signals for stopping a program end.
func Interruptible() (ctx context.Context, stop func()) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// Fail prints err for a person and returns the program's exit status: 2 for a command line
// or a configuration that is wrong, 1 for all else.
func Fail(w io.Writer, program string, err error) int {
	if _, ok := errors.AsType[*kong.ParseError](err); ok {
		fmt.Fprintf(w, "%s: %v\nRun \"%s --help\" for what there is.\n", program, err, program)
		return 2
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintf(w, "%v\n%s: the configuration is wrong, nothing was started\n", problems, program)
		return 2
	}
	fmt.Fprintf(w, "%s: %v\n", program, err)
	return 1
}
