package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/saker-security/saker/cmd/internal/migrate"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
)

// maxConfig is the largest file that is migrated, in bytes: the largest that loads.
const maxConfig = 4 << 20

type configMigrate struct {
	File  string `arg:"" help:"Falcosidekick's configuration file, YAML or JSON."`
	To    string `name:"output" short:"o" placeholder:"FILE" help:"File to write, for the owner only, instead of standard output."`
	Force bool   `help:"Replace a file that exists."`
	Env   bool   `help:"Say of each variable in the environment that Falcosidekick reads what is different about it."`
}

func (c *configMigrate) Run() error {
	switch ext := strings.ToLower(filepath.Ext(c.File)); ext {
	case ".yaml", ".yml", ".json", "":
	default:
		return fmt.Errorf("migrate %q: files of type %s are not read; write YAML or JSON", c.File, ext)
	}
	if strings.EqualFold(filepath.Ext(c.To), ".json") {
		return fmt.Errorf("write %q: the result is YAML; please choose another name", c.To)
	}
	if _, err := os.Lstat(c.To); c.To != "" && err == nil && !c.Force {
		return fmt.Errorf("write %q: the file exists; --force replaces it", c.To)
	}
	text, err := readConfig(c.File)
	if err != nil {
		return err
	}
	var sensing sensor.Config
	section := config.Section{Path: sensorPath, Into: []any{&sensing}}
	result, err := migrate.File(c.File, text, os.Environ(), section)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			fmt.Fprintln(os.Stderr, p)
		}
		return fmt.Errorf("%q cannot be read", c.File)
	}
	if err != nil {
		return fmt.Errorf("migrate %q: %w", c.File, err)
	}
	remarks := result.Remarks
	if c.Env {
		about, err := migrate.Environment(os.Environ(), section)
		if err != nil {
			return err
		}
		remarks = append(remarks, about...)
	}
	for _, r := range remarks {
		fmt.Fprintf(os.Stderr, "warning: %v\n", r)
	}
	if err := c.write(result.Text); err != nil {
		return err
	}
	if len(result.Mistakes) > 0 {
		for _, m := range result.Mistakes {
			fmt.Fprintf(os.Stderr, "mistake: %v\n", m)
		}
		return errors.New("the result does not load before these mistakes are mended")
	}
	return nil
}

// readConfig returns the content of a file that may be migrated.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("read %q: the file is larger than %v", name, config.Bytes(maxConfig))
	}
	return text, nil
}

// write writes the result, which holds secrets: whole or not at all, and for nobody else.
func (c *configMigrate) write(text []byte) error {
	if c.To == "" {
		_, err := os.Stdout.Write(text)
		return err
	}
	// CreateTemp makes files that only their owner can read.
	f, err := os.CreateTemp(filepath.Dir(c.To), ".saker-migrate-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", c.To, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil && c.Force {
		err = os.Rename(f.Name(), c.To)
	} else if err == nil {
		// Unlike a rename, a link replaces nothing.
		err = os.Link(f.Name(), c.To)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", c.To, err)
	}
	return nil
}
