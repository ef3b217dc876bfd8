package main

import (
	"os"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/forwarder"
)

// forward is `saker forwarder`.
type forward struct{ settings }

func (f *forward) Run() error {
	loaded, _, err := f.load()
	if err != nil {
		return err
	}
	ctx, stop := sensing.Interruptible()
	defer stop()
	return forwarder.Run(ctx, loaded, forwarder.Options{Log: loaded.Logger(os.Stderr), Version: version.String()})
}
