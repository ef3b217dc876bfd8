// Package exec runs a program for each event, with the event's JSON on its standard input.
//
// What an event says comes from whoever is being watched, so that nothing of it gets near a
// command line: there is no shell, the arguments are those of the configuration, and the
// program runs in an environment of its own with bounded resources, without a way to gain
// privileges. Which program that is, only who owns the machine can say: it must be named
// by its absolute path and belong, with all folders above it, to root or to the forwarder's
// user, and nobody else may be able to write there.
//
// A run ends with Send: the program's whole process group is killed when ctx ends, and what
// is left of it when the program itself has ended.
package exec

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "exec",
		Title: "Exec",
		Doc:   "Runs a program of your own for each event, with the event as JSON on its standard input.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	Enabled bool                     `key:"enabled" required:"true" doc:"Allows the program to be run."`
	Program string                   `key:"program" required:"true" doc:"Absolute path of the program. It and all folders above it must belong to root or to the forwarder's user, and nobody else may be able to write there."`
	Args    []string                 `key:"args" doc:"Arguments of the program, passed as they are: there is no shell and nothing is replaced in them."`
	Dir     string                   `key:"dir" default:"/" doc:"Absolute path of the folder that the program runs in."`
	Env     map[string]config.Secret `key:"env" doc:"Environment of the program. Beside it, there is only PATH; nothing of the forwarder's own environment is passed on."`
	UID     int                      `key:"uid" default:"-1" doc:"Number of the user that the program runs as; -1 for the forwarder's own. Another one needs root."`
	GID     int                      `key:"gid" default:"-1" doc:"Number of the group that the program runs as, without any other group; -1 for the forwarder's own groups, or for the number of uid if that is set."`
	Limits  Limits                   `key:"limits"`
}

// Limits are the resources that a run may use. How long it may take is the output's
// timeout.
type Limits struct {
	CPU       time.Duration `key:"cpu" default:"60s" unit:"s" doc:"Processor time of each process; 0 for no limit."`
	Memory    config.Bytes  `key:"memory" default:"1GiB" doc:"Memory that each process can write to; 0 for no limit."`
	FileSize  config.Bytes  `key:"filesize" default:"64MiB" doc:"Size of each file that is written; 0 for no limit."`
	Files     int           `key:"files" default:"256" doc:"Open files of each process; 0 for no limit of our own."`
	Processes int           `key:"processes" default:"0" doc:"Processes and threads of the user, those that run already included; 0 for no limit. It does not hold for root."`
}

// Validate checks what can be checked without looking at the machine.
func (c Config) Validate() error {
	errs := []error{
		config.At("program", checkAbsolute(c.Program)),
		config.At("dir", checkAbsolute(c.Dir)),
		config.At("env", checkEnv(c.Env)),
		config.At("uid", checkID(c.UID)),
		config.At("gid", checkID(c.GID)),
	}
	for i, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			errs = append(errs, config.At("args", fmt.Errorf("argument %d has a zero byte", i+1)))
		}
	}
	return errors.Join(errs...)
}

// Validate checks that no limit is negative.
func (l Limits) Validate() error {
	negative := errors.New("must not be negative")
	var errs []error
	if l.CPU < 0 {
		errs = append(errs, config.At("cpu", negative))
	}
	if l.Memory < 0 {
		errs = append(errs, config.At("memory", negative))
	}
	if l.FileSize < 0 {
		errs = append(errs, config.At("filesize", negative))
	}
	if l.Files < 0 || l.Files > 0 && l.Files < leastFiles {
		errs = append(errs, config.At("files", fmt.Errorf("must be 0 or at least %d", leastFiles)))
	}
	if l.Processes < 0 {
		errs = append(errs, config.At("processes", negative))
	}
	return errors.Join(errs...)
}

// leastFiles is what a program needs to start at all.
const leastFiles = 16

func checkAbsolute(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return errors.New("must be an absolute path")
	}
	return nil
}

func checkEnv(env map[string]config.Secret) error {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("%q is no name of a variable", name)
		}
		if strings.ContainsRune(env[name].Reveal(), 0) {
			return fmt.Errorf("the value of %s has a zero byte", name)
		}
	}
	return nil
}

// maxID is the largest number of a user or group; the next one means none to the kernel.
const maxID = 1<<32 - 2

func checkID(id int) error {
	if id < -1 || id > maxID {
		return fmt.Errorf("must be -1 or a number from 0 to %d", maxID)
	}
	return nil
}

type sender struct {
	Config
	env []string
}

// New makes a Sender. It looks at the program's file but does not run it.
func New(c Config, _ outputs.Env) (outputs.Sender, error) {
	if _, err := checkProgram(c.Program); err != nil {
		return nil, err
	}
	return &sender{c, environment(c.Env)}, nil
}

// defaultPath is the program's PATH when the configuration sets none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func environment(env map[string]config.Secret) []string {
	all := make([]string, 0, len(env)+1)
	if _, ok := env["PATH"]; !ok {
		all = append(all, defaultPath)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, name+"="+env[name].Reveal())
	}
	return all
}

// Send runs the program once.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	// The file may have changed hands since New.
	path, err := checkProgram(s.Program)
	if err != nil {
		return outputs.Hold(err)
	}
	return s.run(ctx, path, payload(batch[0]))
}

// payload is what the program reads: the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }
