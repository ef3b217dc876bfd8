package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/sensor/probe"
)

// doctor is `saker doctor`.
type doctor struct{ settings }

// Run prints what this host can do and fails when something is missing.
func (d *doctor) Run() error {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return fmt.Errorf("ask for the kernel's version: %w", err)
	}
	fmt.Printf("saker   %s\nkernel  %s\n", version.String(), unix.ByteSliceToString(kernel.Release[:]))
	failed := false
	report := func(right, wrong string, err error) {
		if err == nil {
			fmt.Printf("ok      %s\n", right)
			return
		}
		failed = true
		fmt.Printf("FAILED  %s:\n        %s\n", wrong, strings.ReplaceAll(err.Error(), "\n", "\n        "))
	}
	report("the kernel can be watched", "the kernel cannot be watched", probe.Check())
	loaded, _, err := d.load()
	report("the configuration is right", "the configuration is wrong", err)
	if err == nil {
		dir, err := loaded.DataFolder()
		if err == nil {
			err = writable(dir)
		}
		report("the data folder "+dir+" can be written", "the data folder "+dir+" cannot be written", err)
	}
	if failed {
		return errors.New("this host is not ready")
	}
	return nil
}

// writable makes the folder if it must and tries a file in it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
