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
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/probe"
)

// Watch is the command that runs the sensor alone.
type Watch struct {
	Config  string   `short:"c" placeholder:"FILE" help:"Configuration file, in the form of falco.yaml."`
	Rules   []string `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder, instead of the configuration's. Repeat for more."`
	Set     []string `short:"o" placeholder:"KEY=VALUE" sep:"none" help:"Setting that overrides file and environment. Repeat for more."`
	Lenient bool     `help:"Warn of unknown keys instead of refusing them."`
	Debug   bool     `help:"Log debug lines."`
}

// Run watches the kernel until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	c, loaded, err := sensor.LoadConfig(config.Source{File: w.Config, Environ: os.Environ(), Set: w.Set, Lenient: w.Lenient})
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if w.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	warn(log, loaded.Warnings)
	if err := probe.Check(); err != nil {
		return fmt.Errorf("this host's kernel cannot be watched: %w", err)
	}
	reopen, stop := OnReopen()
	defer stop()
	return sensor.Run(ctx, c, sensor.Options{Log: log, Rules: w.Rules, Reopen: reopen})
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
