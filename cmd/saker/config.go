package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
)

// configCmd are the commands about the configuration.
type configCmd struct {
	Check    configCheck    `cmd:"" help:"Say whether the configuration is right, and start nothing."`
	Print    configPrint    `cmd:"" help:"Print the configuration that is in effect, and where each setting comes from."`
	Migrate  configMigrate  `cmd:"" help:"Rewrite a Falcosidekick configuration, and say what is different here."`
	Generate configGenerate `cmd:"" hidden:"" help:"Write the reference pages."`
}

type configCheck struct{ settings }

func (c *configCheck) Run() error {
	loaded, _, err := c.load()
	if err != nil {
		return err
	}
	for _, w := range loaded.Source.Warnings {
		fmt.Printf("warning: %v\n", w)
	}
	names := make([]string, 0, len(loaded.Outputs))
	for _, o := range loaded.Outputs {
		names = append(names, o.Name)
	}
	fmt.Printf("the configuration is right; outputs: %v\n", names)
	return nil
}

type configPrint struct{ settings }

func (c *configPrint) Run() error {
	loaded, _, err := c.load()
	if err != nil {
		return err
	}
	return loaded.Source.WriteEffective(os.Stdout)
}

type configGenerate struct {
	Dir     string `arg:"" help:"Folder of the documentation."`
	Outputs string `default:"outputs" help:"Folder of the outputs' source."`
}

func (c *configGenerate) Run() error {
	reference := filepath.Join(c.Dir, "reference")
	watching := config.DocSection{
		Path: sensorPath, Title: "Sensor",
		Doc:     "Settings of the sensor of `saker up`. In a file for saker-sensor or `saker sensor`, which may be a falco.yaml, they stand at the top level.",
		Structs: []any{new(sensor.Config)},
	}
	if err := forwarder.WriteDocs(c.Dir, c.Outputs, watching); err != nil {
		return err
	}
	for _, page := range []struct {
		name  string
		write func(*os.File) error
	}{
		{"fields.md", func(f *os.File) error { return sensing.WriteFields(f) }},
		{"default-rules.md", func(f *os.File) error { return sensing.WriteRules(f) }},
	} {
		f, err := os.Create(filepath.Join(reference, page.name))
		if err != nil {
			return err
		}
		if err := page.write(f); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
