// Package gcpcloudfunctions calls a function of Google Cloud Functions with each event.
package gcpcloudfunctions

import (
	"context"
	_ "embed"
	"errors"
	"regexp"

	functions "cloud.google.com/go/functions/apiv1"
	"cloud.google.com/go/functions/apiv1/functionspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/gcpx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "gcpcloudfunctions",
		Key:   "gcp.cloudfunctions",
		Title: "GCPCloudFunctions",
		Doc:   "Calls a function of Google Cloud Functions with the JSON of each event. A function that fails is called with the same event again.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	gcpx.Config `shared:"gcp"`
	Name        string `key:"name" required:"true" doc:"Full name of the function: projects/PROJECT/locations/REGION/functions/NAME."`
}

var fullName = regexp.MustCompile(`^projects/[^/\s]+/locations/[^/\s]+/functions/[^/\s]+$`)

// Validate checks the function's name.
func (c Config) Validate() error {
	if fullName.MatchString(c.Name) {
		return nil
	}
	return config.At("name", errors.New("must be of the form projects/PROJECT/locations/REGION/functions/NAME"))
}

type sender struct {
	Config
	// options is a function because its result holds the key in plain.
	options func() ([]option.ClientOption, error)
	// lock holds one element while somebody uses current or any connection's counts.
	lock    chan struct{}
	current *connection // nil until the first Send and after a refusal of our credentials
}

// connection is a client that is closed by its last user once it has been dropped.
type connection struct {
	client  *functions.CloudFunctionsClient
	users   int
	dropped bool
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	options := func() ([]option.ClientOption, error) {
		options, err := c.Options()
		return append(options, option.WithUserAgent(env.UserAgent)), err
	}
	return &sender{Config: c, options: options, lock: make(chan struct{}, 1)}, nil
}

// Send calls the function. A failure of the function itself is tried again, because
// somebody may mend it.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	answer, err := conn.client.CallFunction(ctx, &functionspb.CallFunctionRequest{Name: s.Name, Data: payload(batch[0])})
	// gRPC connects again by itself; credentials are only read again by a new client.
	s.release(conn, status.Code(err) == codes.Unauthenticated)
	if err != nil {
		return gcpx.Error(err)
	}
	if answer.GetError() != "" {
		return errors.New("the function failed: " + httpx.OneLine(answer.GetError()))
	}
	return nil
}

// acquire returns the connection, which the caller gives back with release.
func (s *sender) acquire(ctx context.Context) (*connection, error) {
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.lock }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.current == nil {
		client, err := s.connect(ctx)
		if err != nil {
			return nil, err
		}
		s.current = &connection{client: client}
	}
	s.current.users++
	return s.current, nil
}

func (s *sender) connect(ctx context.Context) (*functions.CloudFunctionsClient, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	// The client lives longer than this Send, and so must what it makes of its context.
	client, err := functions.NewCloudFunctionsClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, errors.New("make the client of Cloud Functions: " + httpx.OneLine(err.Error()))
	}
	return client, nil
}

func (s *sender) release(c *connection, drop bool) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	c.users--
	if drop {
		s.drop(c)
	}
	if c.dropped && c.users == 0 {
		_ = c.client.Close() // there is nobody left to tell
	}
}

// drop makes the next Send connect anew. The caller holds the lock.
func (s *sender) drop(c *connection) {
	c.dropped = true
	if s.current == c {
		s.current = nil
	}
}

// Close closes the connection once the Sends under way have ended.
func (s *sender) Close() error {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	c := s.current
	if c == nil {
		return nil
	}
	s.drop(c)
	if c.users > 0 {
		return nil
	}
	return c.client.Close()
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) string { return string(e.AppendJSON(nil)) }
