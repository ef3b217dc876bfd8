// Package yandexdatastreams puts events into a stream of Yandex Data Streams.
package yandexdatastreams

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
	"github.com/saker-security/saker/outputs/internal/awsx/yandex"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "yandexdatastreams",
		Key:     "yandex.datastreams",
		Title:   "YandexDataStreams",
		Doc:     "Puts the JSON of each event as a record into a stream of Yandex Data Streams, up to 500 in one request.",
		Page:    page,
		Batch:   stream.MaxRecords,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	yandex.Config `shared:"yandex"`
	Endpoint      string `key:"endpoint" default:"https://yds.serverless.yandexcloud.net" doc:"Base URL of the service."`
	StreamName    string `key:"streamname" required:"true" doc:"Name of the stream, with its folder and database: /ru-central1/FOLDER/DATABASE/STREAM."`
}

// streamName matches full and short names.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_./-]{1,512}$`)

// Validate checks the address and the stream's name.
func (c Config) Validate() error {
	var name error
	if !streamName.MatchString(c.StreamName) {
		name = errors.New("must be the name of a stream: letters, digits, _, -, dots and slashes")
	}
	return errors.Join(config.At("endpoint", httpx.CheckURL(c.Endpoint)), config.At("streamname", name))
}

type sender struct {
	Config
	session *awsx.Session[*kinesis.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.AWS(), env, c.newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func (c Config) newClient(base aws.Config) *kinesis.Client {
	return kinesis.NewFromConfig(base, func(o *kinesis.Options) { o.BaseEndpoint = &c.Endpoint })
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	return stream.Put(ctx, client, s.StreamName, batch)
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }
