package sensing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/sensor"
)

// Program is the command line of saker-sensor. The flags are falco's where falco has them.
type Program struct {
	Watch
	Validate   []string         `short:"V" placeholder:"FILE" sep:"none" help:"Check rules files and end. Repeat for more."`
	ListRules  bool             `short:"L" name:"list-rules" help:"List the rules and end."`
	ListRule   string           `short:"l" name:"list-rule" placeholder:"RULE" help:"Show one rule and end."`
	ListFields listFields       `name:"list" placeholder:"SOURCE" help:"List the fields of rules, all or those of a source (--list=syscall), and end."`
	Names      bool             `short:"N" name:"names" help:"Only the names in --list."`
	Enable     []string         `name:"enable-source" placeholder:"SOURCE" sep:"none" help:"Watch this source only. Repeat for more."`
	Disable    []string         `name:"disable-source" placeholder:"SOURCE" sep:"none" help:"Do not watch this source. Repeat for more."`
	Seconds    seconds          `short:"M" name:"seconds" placeholder:"SECONDS" help:"End after so many seconds."`
	Unbuffered bool             `short:"U" help:"Accepted as falco's; alerts are never held back in a buffer."`
	Version    kong.VersionFlag `help:"Print the version and end."`
}

// seconds is a number of seconds, as falco takes it.
type seconds time.Duration

// UnmarshalText reads it.
func (s *seconds) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return fmt.Errorf("must be a number of seconds, not %q", text)
	}
	*s = seconds(time.Duration(n) * time.Second)
	return nil
}

// listFields is a flag whose value may be left out, and then is that of all sources.
type listFields struct {
	asked  bool
	source string
}

// Decode takes a value only when it is joined to the flag by an equals sign.
func (l *listFields) Decode(ctx *kong.DecodeContext) error {
	l.asked = true
	if t := ctx.Scan.Peek(); t.Type == kong.FlagValueToken {
		l.source = fmt.Sprint(ctx.Scan.Pop().Value)
	}
	return nil
}

// IsBool makes the flag need no value.
func (l *listFields) IsBool() bool { return true }

// Parser is the parser of p's command line.
func (p *Program) Parser() *kong.Kong {
	return kong.Must(p, kong.Name("saker-sensor"),
		kong.Description("Watches this host's kernel and reports what its rules find."),
		kong.Vars{"version": version.String()})
}

// errSources is what --enable-source and --disable-source cannot be.
var errSources = errors.New("--enable-source and --disable-source exclude one another")

// Run does what was asked for, and watches the kernel until ctx ends when that was nothing
// else.
func (p *Program) Run(ctx context.Context) error {
	switch {
	case len(p.Validate) > 0:
		return (&Validate{Files: p.Validate}).Run()
	case p.ListFields.asked:
		return printFields(p.ListFields.source, p.Names)
	case p.ListRules, p.ListRule != "":
		return p.list()
	}
	if p.Seconds > 0 {
		p.Duration = time.Duration(p.Seconds)
	}
	if err := p.sources(); err != nil {
		return err
	}
	return p.Watch.Run(ctx)
}

// sources translates the choice of sources: which of them there are is set up in the
// configuration, and the kernel is one that can be left out.
func (p *Program) sources() error {
	if len(p.Enable) > 0 && len(p.Disable) > 0 {
		return errSources
	}
	known := sensor.Registries()
	for _, name := range slices.Concat(p.Enable, p.Disable) {
		if known[name] == nil {
			return fmt.Errorf("there is no source %q", name)
		}
	}
	p.Only, p.Without = p.Enable, p.Disable
	return nil
}

// list prints the rules of the command line or of the configuration, or one of them.
func (p *Program) list() error {
	files := p.Rules
	if len(files) == 0 {
		c, _, err := p.load()
		if err != nil {
			return err
		}
		files = c.RulesPaths()
	}
	set, _, err := load(files)
	if err != nil {
		return err
	}
	found := false
	for _, r := range set.Rules() {
		if p.ListRule == "" || r.Name == p.ListRule {
			found = true
			fmt.Printf("%-50s %s\n", r.Name, strings.Join(strings.Fields(r.Desc), " "))
		}
	}
	if !found {
		return fmt.Errorf("there is no rule %q", p.ListRule)
	}
	return nil
}

// printFields prints the fields of a source, "" for all.
func printFields(source string, names bool) error {
	known := sensor.Registries()
	if source != "" && known[source] == nil {
		return fmt.Errorf("there is no source %q", source)
	}
	for _, i := range fieldInfos() {
		switch {
		case source != "" && i.Source != source:
		case names:
			fmt.Println(i.Name)
		default:
			fmt.Printf("%-40s %s. %s\n", i.Name+i.Argument, i.typeName(), i.Doc)
		}
	}
	return nil
}
