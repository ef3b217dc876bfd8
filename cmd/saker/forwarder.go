package main

import (
	"os"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/forwarder"
)

// forward is `saker forwarder`.
type forward struct{ settings }

func (f *forward) Run() error {
	signals, release := onSignals()
	defer release()
	loaded, err := f.read()
	if err != nil {
		return err
	}
	log, level := loaded.LevelLogger(os.Stderr)
	return forwarder.Run(signals.stop, loaded, forwarder.Options{
		Log: log, Level: level, Version: version.String(), Reload: f.read, ReloadNow: signals.reload,
	})
}

// read reads the configuration. The sensor may be configured in the same file.
func (f *forward) read() (*forwarder.Loaded, error) {
	loaded, _, err := f.load()
	return loaded, err
}
