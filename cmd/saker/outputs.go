package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/outputs"
)

// testTimeout bounds `saker outputs test`, connecting included.
const testTimeout = 30 * time.Second

// outputsCmd are the commands about outputs.
type outputsCmd struct {
	List   outputsList   `cmd:"" help:"List the kinds of output, and which are configured."`
	Show   outputsShow   `cmd:"" help:"Show the keys of a kind of output."`
	Test   outputsTest   `cmd:"" help:"Send a test event to a configured output and print what it answered."`
	Status outputsStatus `cmd:"" help:"Show how the outputs of a running forwarder are doing."`
}

type outputsList struct{ settings }

func (o *outputsList) Run() error {
	loaded, _, err := o.load()
	if err != nil {
		return err
	}
	configured := map[string][]string{}
	for _, i := range loaded.Outputs {
		configured[i.Kind.Name] = append(configured[i.Kind.Name], i.Name)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tSECTION\tCONFIGURED AS\tWHAT IT DOES")
	kinds := outputs.Kinds()
	for _, k := range kinds {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.Key, strings.Join(configured[k.Name], ", "), k.Doc)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%d kinds, %d outputs configured\n", len(kinds), len(loaded.Outputs))
	return nil
}

type outputsShow struct {
	Name string `arg:"" help:"Name of the kind."`
}

func (o *outputsShow) Run() error {
	sections := forwarder.DocSections()
	i := slices.IndexFunc(sections, func(s config.DocSection) bool { return s.Kind == o.Name })
	if i < 0 {
		return fmt.Errorf("there is no kind of output called %q: see saker outputs list", o.Name)
	}
	return describe(os.Stdout, sections[i])
}

// describe prints the keys of a section, each with its meaning below it. Markdown tables,
// which the reference pages have, cannot be read on a terminal.
func describe(w io.Writer, s config.DocSection) error {
	fmt.Fprintf(w, "%s: %s\n", s.Title, s.Doc)
	fmt.Fprintf(w, "Section %q, or any name below \"outputs\" with \"type: %s\".\n", s.Path, s.Kind)
	for _, structure := range s.All() {
		keys, err := config.Fields(structure)
		if err != nil {
			return err
		}
		for _, k := range keys {
			fmt.Fprintf(w, "\n%s.%s  %s\n    %s\n", cmp.Or(k.Shared, s.Path), k.Key, strings.Join(traits(k), ", "), k.Doc)
		}
	}
	_, err := fmt.Fprintln(w, "\nEach key is also an environment variable: in upper case, with _ for dots and dashes.")
	return err
}

// traits are what a key is, in a few words.
func traits(k config.Field) []string {
	all := []string{k.Type}
	if k.Required {
		all = append(all, "required")
	}
	if k.Default != "" {
		all = append(all, fmt.Sprintf("default %q", k.Default))
	}
	if len(k.OneOf) > 0 {
		all = append(all, "one of "+strings.Join(k.OneOf, " "))
	}
	return all
}

type outputsTest struct {
	settings
	Name string `arg:"" help:"Name of the output, as saker outputs list shows it."`
}

func (o *outputsTest) Run() error {
	loaded, _, err := o.load()
	if err != nil {
		return err
	}
	ctx, stop := sensing.Interruptible()
	defer stop()
	var errs []error
	for _, name := range loaded.Named(o.Name) {
		errs = append(errs, test(ctx, loaded, name))
	}
	return errors.Join(errs...)
}

// test sends a test event to one output and prints what became of it.
func test(ctx context.Context, loaded *forwarder.Loaded, name string) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	result, err := forwarder.SendTest(ctx, loaded, name, forwarder.Options{Log: loaded.Logger(os.Stderr), Version: version.String()})
	if err != nil {
		return err
	}
	sent, err := json.Marshal(&result.Event)
	if err != nil {
		return err
	}
	fmt.Printf("sent to %s: %s\n", result.Output, sent)
	switch {
	case result.Err == nil:
		fmt.Printf("accepted in %v\n", result.Took.Round(time.Millisecond))
		return nil
	case result.Permanent:
		return fmt.Errorf("%s refused the event for good: %w", result.Output, result.Err)
	case errors.Is(result.Err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %v", result.Output, result.Took.Round(time.Millisecond))
	default:
		return fmt.Errorf("%s did not take the event: %w", result.Output, result.Err)
	}
}
