// Program saker is all of Saker: sensor, forwarder and page on one host, each of them
// alone, and the commands with which people look after them.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/cmd/internal/version"
	_ "github.com/saker-security/saker/outputs/all"
)

type cli struct {
	Up          up             `cmd:"" help:"Run sensor, forwarder and page on this host."`
	Forwarder   forward        `cmd:"" help:"Run the forwarder and its page."`
	Sensor      watch          `cmd:"" help:"Run the sensor."`
	Rules       sensing.Rules  `cmd:"" help:"Look at rules."`
	Outputs     outputsCmd     `cmd:"" help:"Look at outputs."`
	Events      eventsCmd      `cmd:"" help:"Follow, send and replay alerts."`
	Route       routeCmd       `cmd:"" help:"Ask where alerts go."`
	Silence     silenceCmd     `cmd:"" help:"Keep alerts from notifying anybody for some time."`
	Deadletters deadlettersCmd `cmd:"" help:"Look after alerts that could not be delivered."`
	Config      configCmd      `cmd:"" help:"Look at the configuration."`
	Doctor      doctor         `cmd:"" help:"Say what this host can do and what is missing."`
	Version     versionCmd     `cmd:"" help:"Print the version."`

	PrintVersion kong.VersionFlag `name:"version" short:"v" help:"Print the version and end."`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		os.Exit(sensing.Fail(os.Stderr, "saker", err))
	}
}

// parser is the parser of saker's command line.
func parser() *kong.Kong {
	return kong.Must(&cli{}, kong.Name("saker"),
		kong.Description("The security camera and the alarm line for Linux hosts and Kubernetes."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"version": version.String(), "page": defaultPage})
}

func run(args []string) error {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	selected, err := parser().Parse(args)
	if err != nil {
		return err
	}
	return selected.Run()
}

type versionCmd struct{}

func (versionCmd) Run() error {
	_, err := fmt.Println(version.String())
	return err
}

// watch is `saker sensor`.
type watch struct{ sensing.Watch }

func (w *watch) Run() error {
	ctx, stop := sensing.Interruptible()
	defer stop()
	return w.Watch.Run(ctx)
}
