package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/cmd/internal/sensing"
)

// signals are what the operator tells a running forwarder.
type signals struct {
	// stop ends with the signals for stopping, and when the terminal is closed that the
	// program was started in.
	stop context.Context
	// reload has a value for every SIGHUP that asks for the configuration to be read again.
	reload <-chan os.Signal
}

// onSignals makes the program hear signals until release is called. It comes before
// everything else: a SIGHUP that nobody listens to ends the program.
func onSignals() (s signals, release func()) {
	stop, endStop := sensing.Interruptible()
	stop, end := context.WithCancel(stop)
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	reload := make(chan os.Signal, 1)
	inTerminal := isTerminal(os.Stdin)
	go func() {
		for {
			select {
			case <-stop.Done():
				return
			case asked := <-hangUps:
				if inTerminal && !isTerminal(os.Stdin) {
					end() // the window is closed, and whoever closed it expects the program to end
					return
				}
				select {
				case reload <- asked:
				default: // one is waiting already
				}
			}
		}
	}()
	return signals{stop, reload}, func() {
		signal.Stop(hangUps)
		end()
		endStop()
	}
}

// isTerminal reports whether f is a terminal that is still there.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
