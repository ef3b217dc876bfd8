// Program trigger does, once and for real, what security rules look for, so that the
// whole-product tests can wait for the alert. It is built static, so that it also runs in
// a container that holds nothing else. Copies of it under other names stand in for the
// programs that rules name.
//
// It stands outside the product: it is the attacker of the tests.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// actions are the things that can be done, by name. Each takes the arguments that follow.
var actions = map[string]func(args []string) error{
	"noop": func([]string) error { return nil },
	"wait": func([]string) error { var b [1]byte; _, _ = os.Stdin.Read(b[:]); return nil },

	"read":        read,
	"try-read":    func(a []string) error { _ = read(a); return nil },
	"read-later":  readLater,
	"write":       write,
	"truncate":    truncate,
	"write-to-fd": writeToFD,
	"rename-2": func(a []string) error {
		return unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], unix.RENAME_NOREPLACE)
	},
	"rename":      func(a []string) error { return unix.Rename(a[0], a[1]) },
	"delete":      func(a []string) error { return unix.Unlink(a[0]) },
	"make-folder": func(a []string) error { return unix.Mkdir(a[0], 0o755) },
	"link":        link,
	"chmod":       chmod,
	"create":      create,

	"spawn":         spawn,
	"spawn-as":      spawnAs,
	"spawn-in-tty":  spawnInTerminal,
	"spawn-login":   spawnLogin,
	"exec-later":    execLater,
	"copy-and-run":  copyAndRun,
	"memfd":         memfd,
	"setuid":        setuid,
	"attach":        attach,
	"trace-me":      traceMe,
	"enter":         enter,
	"try-enter":     func([]string) error { _ = unix.Setns(0, 0); return nil },
	"try-exec":      func(a []string) error { _ = unix.Exec(a[0], a, os.Environ()); return nil },
	"unshare":       func([]string) error { return unix.Unshare(unix.CLONE_NEWUTS) },
	"try-unshare":   func([]string) error { _ = unix.Unshare(unix.CLONE_NEWUTS); return nil },
	"load-module":   loadModule,
	"load-bpf":      loadBPF,
	"handle-faults": handleFaults,

	"packet-socket":     packetSocket,
	"redirect":          redirect,
	"connect":           connect,
	"receive":           receive,
	"accept":            accept,
	"serve-and-connect": serveAndConnect,

	"agent":      agent,
	"with-hosts": withHosts,
	"open-flood": openFlood,
	"open-times": openTimes,
}

func main() {
	var do func([]string) error
	if len(os.Args) > 1 {
		do = actions[os.Args[1]]
	}
	if do == nil {
		if filepath.Base(os.Args[0]) != "trigger" {
			return // a stand-in takes the arguments of the program that it stands in for
		}
		fmt.Fprintln(os.Stderr, "usage: trigger ACTION [ARGUMENT ...]")
		os.Exit(2)
	}
	if err := do(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "trigger %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
