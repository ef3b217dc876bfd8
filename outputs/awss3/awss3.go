// Package awss3 stores events as objects in a bucket of Amazon S3, or of a service that
// speaks as S3 does.
package awss3

import (
	"context"
	_ "embed"
	"net"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/awsx/bucket"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "awss3",
		Key:     "aws.s3",
		Title:   "AWSS3",
		Doc:     "Stores each event as an object in a bucket of Amazon S3 or of a service that speaks as S3 does, or batches of events as compressed NDJSON.",
		Page:    page,
		Batch:   bucket.MaxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	awsx.Config `shared:"aws"`
	bucket.Objects
	Endpoint        string `key:"endpoint" doc:"Base URL of a service in place of AWS's, such as MinIO."`
	PathStyle       bool   `key:"pathstyle" default:"false" doc:"Name the bucket in the path of requests and not in the host, as MinIO wants it. An endpoint that is an IP address or localhost gets it so always."`
	ObjectCannedACL string `key:"objectcannedacl" default:"bucket-owner-full-control" oneof:"private,public-read,public-read-write,authenticated-read,aws-exec-read,bucket-owner-read,bucket-owner-full-control,log-delivery-write" doc:"Canned ACL of the objects; empty for none."`
}

// Validate checks the endpoint.
func (c Config) Validate() error {
	if c.Endpoint == "" {
		return nil
	}
	return config.At("endpoint", httpx.CheckURL(c.Endpoint))
}

type sender struct {
	Config
	session *awsx.Session[*s3.Client]
	clock   bucket.Clock
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, c.newClient)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, session: session}, nil
}

func (c Config) newClient(base aws.Config) *s3.Client {
	return s3.NewFromConfig(base, func(o *s3.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
		o.UsePathStyle = c.PathStyle || isLocal(aws.ToString(o.BaseEndpoint))
	})
}

// isLocal reports whether the host of a URL is one that has no subdomains.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()) != nil)
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	return s.Store(&s.clock, batch, func(o bucket.Object) error {
		return bucket.Put(ctx, client, s3.PutObjectInput{
			Bucket: &s.Bucket, ACL: types.ObjectCannedACL(s.ObjectCannedACL),
			// A bucket with Object Lock takes nothing without a checksum.
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		}, o)
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }
