// Package awskinesis puts events into a stream of Amazon Kinesis Data Streams.
package awskinesis

import (
	"context"
	_ "embed"
	"errors"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/awsx/stream"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "awskinesis",
		Key:     "aws.kinesis",
		Title:   "AWSKinesis",
		Doc:     "Puts the JSON of each event as a record into a stream of Amazon Kinesis Data Streams, up to 500 in one request.",
		Page:    page,
		Batch:   stream.MaxRecords,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	awsx.Config `shared:"aws"`
	StreamName  string `key:"streamname" required:"true" doc:"Name of the stream."`
}

// streamName matches the names that Kinesis allows.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// Validate checks the stream's name.
func (c Config) Validate() error {
	if streamName.MatchString(c.StreamName) {
		return nil
	}
	return config.At("streamname", errors.New("must be the name of a stream: letters, digits, _, - and dots"))
}

type sender struct {
	Config
	session *awsx.Session[*kinesis.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func newClient(c aws.Config) *kinesis.Client { return kinesis.NewFromConfig(c) }

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	return stream.Put(ctx, client, s.StreamName, batch)
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }
