// Package yandexs3 stores events as objects in a bucket of Yandex Object Storage.
package yandexs3

import (
	"context"
	_ "embed"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/awsx/bucket"
	"github.com/saker-security/saker/outputs/internal/awsx/yandex"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "yandexs3",
		Key:     "yandex.s3",
		Title:   "YandexS3",
		Doc:     "Stores each event as an object in a bucket of Yandex Object Storage, or batches of events as compressed NDJSON.",
		Page:    page,
		Batch:   bucket.MaxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	yandex.Config `shared:"yandex"`
	Endpoint      string `key:"endpoint" default:"https://storage.yandexcloud.net" doc:"Base URL of the service."`
	bucket.Objects
}

// Validate checks the endpoint.
func (c Config) Validate() error { return config.At("endpoint", httpx.CheckURL(c.Endpoint)) }

type sender struct {
	Config
	session *awsx.Session[*s3.Client]
	clock   bucket.Clock
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.AWS(), env, c.newClient)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, session: session}, nil
}

func (c Config) newClient(base aws.Config) *s3.Client {
	return s3.NewFromConfig(base, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &c.Endpoint, true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	return s.Store(&s.clock, batch, func(o bucket.Object) error {
		return bucket.Put(ctx, client, s3.PutObjectInput{Bucket: &s.Bucket}, o)
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }
