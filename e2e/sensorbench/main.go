// Program sensorbench measures the sensor from outside: what it costs the machine under
// loads of system calls, and what the program that makes them loses, in one run with the
// sensor and without.
//
// It stands outside the product and knows the sensor only by its command line, its log and
// the alerts that it posts. Each load is a process of its own with one thread, so that its
// figures hold nothing of the measurement.
//
//	go run ./e2e/sensorbench -sensor bin/saker-sensor [-rules FILE] [-only name,name]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench has what is measured, and for how long.
type bench struct {
	sensor string
	// rules are the rules files, none for those that ship.
	rules []string
	// length is how long a load lasts, idle how long nothing happens.
	length, idle time.Duration
	dir          string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == loadCommand {
		if err := runLoad(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	var b bench
	flag.StringVar(&b.sensor, "sensor", "bin/saker-sensor", "program of the sensor")
	rules := flag.String("rules", "", "rules files, comma-separated; empty is those that ship")
	flag.DurationVar(&b.length, "length", 10*time.Second, "how long each load lasts")
	flag.DurationVar(&b.idle, "idle", 30*time.Second, "how long the idle sensor is watched")
	only := flag.String("only", "", "names of the measurements to make, comma-separated; empty is all")
	flag.Parse()
	b.rules = split(*rules)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, split(*only)); err != nil {
		fmt.Fprintln(os.Stderr, "sensorbench:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func (b *bench) run(ctx context.Context, only []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the kernel can only be watched by root")
	}
	var err error
	if b.sensor, err = filepath.Abs(b.sensor); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "sensorbench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if len(b.rules) == 0 {
		fmt.Println("rules: those that ship")
	} else {
		fmt.Println("rules:", strings.Join(b.rules, " "))
	}
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"loads", b.measureLoads},
		{"latency", b.measureLatency},
		{"memory", b.measureMemory},
	} {
		if len(only) > 0 && !slices.Contains(only, m.name) {
			continue
		}
		fmt.Println()
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
