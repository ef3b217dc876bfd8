// Program bench measures a forwarder from outside: real processes, real sockets, events in
// at one end and counted at the other. With -peer it measures Falcosidekick in the same
// run, on the same machine, with the same load.
//
// It stands outside the product and knows it only by its command line, its environment and
// its HTTP interface. Sender and receiver are as cheap as they can be made, because they
// share the machine with what is measured.
//
//	go run ./e2e/bench -saker bin/saker [-peer falcosidekick] [-only name,name]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	var m machine
	flag.StringVar(&m.saker, "saker", "bin/saker", "program of Saker")
	flag.StringVar(&m.peer, "peer", "", "program of Falcosidekick, if it is to be measured, too")
	only := flag.String("only", "", "names of the measurements to make, comma-separated; empty is all")
	flag.Parse()
	if flag.Arg(0) == bareServer {
		serveBare()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := m.run(ctx, strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// machine has what is measured on it.
type machine struct{ saker, peer string }

// programs are what is measured side by side.
func (m machine) programs() []program {
	all := []program{{name: "Saker", path: m.saker, saker: true}}
	if m.peer != "" {
		all = append(all, program{name: "Falcosidekick", path: m.peer})
	}
	return all
}

// measurement is one table of the result.
type measurement struct {
	name  string
	title string
	run   func(ctx context.Context, m machine) error
}

var measurements = []measurement{
	{"limits", "The machine's limits: bare net/http", measureLimits},
	{"ingest", "Durable ingest", measureIngest},
	{"deliver", "Through outputs, default settings", measureDelivery},
	{"latency", "From the request in to the request out, 500 events a second", measureLatency},
	{"memory", "Memory", measureMemory},
}

func (m machine) run(ctx context.Context, only []string) error {
	fmt.Printf("%s, %s\n", time.Now().UTC().Format("2006-01-02"), describeMachine())
	for _, each := range measurements {
		if len(only) > 0 && !slices.Contains(only, each.name) {
			continue
		}
		fmt.Printf("\n### %s\n\n", each.title)
		if err := each.run(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", each.name, err)
		}
	}
	return nil
}

func row(cells ...any) {
	var b strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&b, "| %v ", c)
	}
	fmt.Println(b.String() + "|")
}

func head(cells ...any) {
	row(cells...)
	fmt.Println(strings.Repeat("|---", len(cells)) + "|")
}
