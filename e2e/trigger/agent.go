package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// order is what the tests ask an agent to run.
type order struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// answer says how it went; Error is empty when the program ran and succeeded.
type answer struct {
	Error string `json:"error"`
}

// agent runs programs where it stands itself, in a container or a network of the tests',
// as orders come in on standard input, and answers each on standard output. It listens on
// the addresses that it is given, so that there is something to connect to.
func agent(addresses []string) error {
	for _, address := range addresses {
		fd, err := bound("tcp", address)
		if err != nil {
			return err
		}
		if err := unix.Listen(fd, 64); err != nil {
			return err
		}
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		cmd := exec.Command(o.Args[0], o.Args[1:]...)
		cmd.Env, cmd.Dir = o.Env, o.Dir
		var a answer
		if text, err := cmd.CombinedOutput(); err != nil {
			a.Error = err.Error() + "\n" + string(text)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// withHosts becomes the program a[2] with the arguments that follow, for which a[0] is
// /etc/hosts and a[1] is /etc/resolv.conf; for all others they stay what they are.
func withHosts(a []string) error {
	const namespace = "/proc/thread-self/ns/mnt"
	before, err := os.Readlink(namespace)
	if err != nil {
		return err
	}
	// A namespace is a thread's, and this goroutine must not mount anything on another one.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if after, err := os.Readlink(namespace); err != nil || after == before {
		return errors.Join(errors.New("this thread has no mount namespace of its own"), err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for i, path := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		if err := unix.Mount(a[i], path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return unix.Exec(a[2], a[2:], os.Environ())
}
