package sensing

import (
	"context"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/cmd/internal/version"
)

// Program is the command line of saker-sensor.
type Program struct {
	Watch
	Validate []string         `short:"V" placeholder:"FILE" sep:"none" help:"Check rules files and end. Repeat for more."`
	Version  kong.VersionFlag `help:"Print the version and end."`
}

// Parser is the parser of p's command line.
func (p *Program) Parser() *kong.Kong {
	return kong.Must(p, kong.Name("saker-sensor"),
		kong.Description("Watches this host's kernel and reports what its rules find."),
		kong.Vars{"version": version.String()})
}

// Run checks rules, if it was asked to, and otherwise watches the kernel until ctx ends.
func (p *Program) Run(ctx context.Context) error {
	if len(p.Validate) > 0 {
		return (&Validate{Files: p.Validate}).Run()
	}
	return p.Watch.Run(ctx)
}
