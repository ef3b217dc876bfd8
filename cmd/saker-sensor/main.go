// Program saker-sensor is the sensor alone: what runs on every node. It is the same code as
// `saker sensor`, without the forwarder's dependencies.
package main

import (
	"os"

	"github.com/saker-security/saker/cmd/internal/sensing"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		os.Exit(sensing.Fail(os.Stderr, "saker-sensor", err))
	}
}

func run(args []string) error {
	var p sensing.Program
	if _, err := p.Parser().Parse(args); err != nil {
		return err
	}
	ctx, stop := sensing.Interruptible()
	defer stop()
	return p.Run(ctx)
}
