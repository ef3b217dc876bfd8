package main

import (
	"log/slog"
	"os"

	"github.com/saker-security/saker/cmd/internal/footprint"
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
		AuditJudge: auditJudge, Ready: func(forwarder.Addresses) { shrink(log) },
	})
}

// shrink gives back what only the start needed of the program's file.
func shrink(log *slog.Logger) {
	if err := footprint.Shrink(); err != nil {
		log.Debug("the program keeps what only its start needed", "error", err)
	}
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
