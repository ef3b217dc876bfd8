package main

import (
	"os"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/sensor"
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
		AuditJudge: auditJudge,
	})
}

// auditJudge holds Kubernetes audit events that are posted to the forwarder against rules.
func auditJudge(rulesFiles []string) (ingest.AuditJudge, error) {
	judge, err := sensor.AuditJudge(rulesFiles)
	if err != nil {
		return nil, err
	}
	return judge, nil
}

// read reads the configuration. The sensor may be configured in the same file.
func (f *forward) read() (*forwarder.Loaded, error) {
	loaded, _, err := f.load()
	return loaded, err
}
