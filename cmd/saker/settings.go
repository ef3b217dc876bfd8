package main

import (
	"os"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
)

// sensorPath is the section of the sensor in the file of `saker up`.
const sensorPath = "sensor"

// settings are the flags that say where the configuration comes from.
type settings struct {
	Config  string   `short:"c" aliases:"config-file" placeholder:"FILE" help:"Configuration file. Falcosidekick's works."`
	DataDir string   `placeholder:"DIR" help:"Folder for what must survive a restart (SAKER_DATA_DIR)."`
	Set     []string `placeholder:"KEY=VALUE" sep:"none" help:"Setting that overrides file and environment. Repeat for more."`
	Lenient bool     `help:"Warn of unknown keys instead of refusing them."`
}

// load reads the configuration of the forwarder, and of the sensor, which may stand in the
// same file.
func (s *settings) load() (*forwarder.Loaded, sensor.Config, error) {
	set := s.Set
	if s.DataDir != "" {
		set = append(set, "datadir="+s.DataDir)
	}
	var sensing sensor.Config
	loaded, err := forwarder.LoadConfig(
		config.Source{File: s.Config, Environ: os.Environ(), Set: set, Lenient: s.Lenient},
		config.Section{Path: sensorPath, Into: []any{&sensing}})
	return loaded, sensing, err
}
