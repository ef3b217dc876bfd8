// Package stdout writes events to the program's standard output, one a line.
package stdout

import (
	"context"
	_ "embed"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "stdout",
		Title:   "Stdout",
		Doc:     "Writes each event to standard output, one a line.",
		Page:    page,
		Batch:   128,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Enabled bool   `key:"enabled" required:"true" doc:"Turns the output on."`
	Format  string `key:"format" default:"json" oneof:"json,text" doc:"json is the whole event, text its output alone."`
}

type sender struct {
	format string
	lines  *lines
}

// New makes a Sender.
func New(c Config, _ outputs.Env) (outputs.Sender, error) {
	return &sender{c.Format, standard}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var text []byte
	for _, e := range batch {
		text = appendLine(text, s.format, e)
	}
	return s.lines.write(ctx, text)
}

// appendLine appends the event's line that the golden files pin.
func appendLine(dst []byte, format string, e event.Event) []byte {
	if format != "text" {
		return append(e.AppendJSON(dst), '\n')
	}
	text := e.Output
	if text == "" {
		text = e.Time.Format("15:04:05.000000000") + ": " + e.Priority.String() + " " + e.Rule
	}
	return append(append(dst, printable(text)...), '\n')
}

// printable replaces what would break the line or steer the reader's terminal: control
// characters, line separators and directions of writing.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// standard is where all senders of the process take turns.
var standard = newLines(os.Stdout)

// lines is a writer that several senders share, each write whole.
type lines struct {
	to   io.Writer
	turn chan struct{} // holds one token while nobody writes
}

func newLines(to io.Writer) *lines {
	l := &lines{to, make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// write writes text when it is its turn. A reader that does not read blocks the write for
// as long as it likes; ctx then ends the wait, while the one goroutine that is stuck keeps
// the turn, so that there is never a second.
func (l *lines) write(ctx context.Context, text []byte) error {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		_, err := l.to.Write(text)
		l.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
