package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/config"
)

const (
	// defaultPage is where the page of a forwarder on this host is.
	defaultPage = "http://127.0.0.1:2802"
	// The variables of secrets, which have no flag because everybody on a machine can read
	// its command lines.
	tokenVariable    = "SAKER_TOKEN"
	passwordVariable = "SAKER_PASSWORD"
)

// credentials are the flags that say who asks.
type credentials struct {
	TokenFile    string `env:"SAKER_TOKEN_FILE" placeholder:"FILE" help:"File with the forwarder's bearer token; SAKER_TOKEN may hold the token itself."`
	User         string `env:"SAKER_USER" placeholder:"NAME" help:"User name, with SAKER_PASSWORD or --password-file."`
	PasswordFile string `env:"SAKER_PASSWORD_FILE" placeholder:"FILE" help:"File with the password of --user."`
	CACert       string `name:"cacert" env:"SAKER_CACERT" placeholder:"FILE" help:"Authorities that the forwarder's certificate may be of, beside the system's."`
}

// options are those of a client that asks at the given address.
func (c *credentials) options(url string) (client.Options, error) {
	token, err := secret(tokenVariable, c.TokenFile)
	if err != nil {
		return client.Options{}, err
	}
	password, err := secret(passwordVariable, c.PasswordFile)
	if err != nil {
		return client.Options{}, err
	}
	if c.User != "" && password.IsZero() {
		return client.Options{}, fmt.Errorf("--user needs a password: set %s, or name a file with --password-file", passwordVariable)
	}
	return client.Options{
		URL: url, Token: token, Username: c.User, Password: password,
		CACertFile: c.CACert, UserAgent: "saker/" + version.String(),
	}, nil
}

// secret is what a file holds, without the line's end, or else what a variable does.
func secret(variable, file string) (config.Secret, error) {
	if file == "" {
		return config.NewSecret(os.Getenv(variable)), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return config.Secret{}, fmt.Errorf("read a secret: %w", err)
	}
	s := config.NewSecret(strings.TrimRight(string(text), "\r\n"))
	if s.IsZero() {
		return s, fmt.Errorf("the file %s is empty, and should hold a secret", file)
	}
	return s, nil
}

// remote are the flags of commands that ask a running forwarder.
type remote struct {
	URL string `name:"url" env:"SAKER_URL" placeholder:"URL" help:"Address of the forwarder's page (${page})."`
	credentials
	Format string `short:"o" name:"format" enum:"table,json" default:"table" help:"Form of what is printed: table or json."`
}

// forwarder returns the client of the forwarder that is asked.
func (r *remote) forwarder() (*client.Client, error) {
	o, err := r.options(cmp.Or(r.URL, defaultPage))
	if err != nil {
		return nil, err
	}
	c, err := client.New(o)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	return c, nil
}

// asking runs a command that asks the forwarder, until it is interrupted.
func (r *remote) asking(do func(ctx context.Context, c *client.Client) error) error {
	c, err := r.forwarder()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := sensing.Interruptible()
	defer stop()
	return advise(do(ctx, c), "--url or SAKER_URL", "the forwarder's page, by default port 2802",
		func(e *client.StatusError) bool { return e.Problem })
}

// print prints v as JSON, or whatever table does.
func (r *remote) print(v any, table func(w io.Writer) error) error {
	if r.Format != "json" {
		return table(os.Stdout)
	}
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// advise adds to an error what a person can do about it. Flag is how another address is
// named, place what the address should be that of, and own reports whether an answer is
// one that is given there.
func advise(err error, flag, place string, own func(*client.StatusError) bool) error {
	if e, ok := errors.AsType[*client.UnreachableError](err); ok {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("no forwarder answers at %s: name another address with %s: %w", e.URL, flag, e.Err)
		}
		return fmt.Errorf("%w: another address can be named with %s", err, flag)
	}
	e, ok := errors.AsType[*client.StatusError](err)
	switch {
	case !ok:
		return err
	case e.Status == http.StatusUnauthorized:
		return fmt.Errorf("the forwarder asks for a credential and does not take the one it got, if any: "+
			"set %s, or SAKER_USER and %s, or name files with --token-file or --password-file", tokenVariable, passwordVariable)
	case !own(e):
		return fmt.Errorf("%s: the address must be that of %s", clean(err.Error()), place)
	}
	return errors.New(cleanLines(err.Error()))
}
