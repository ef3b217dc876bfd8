// Package awsx is what the outputs for AWS share: the keys of the section aws, and the
// SDK's configuration made of them.
//
// An output embeds Config with the tag shared:"aws", makes a Session with New, and asks it
// for the service's client in Send. The SDK is set up for our delivery: it makes one
// attempt (the forwarder repeats), reads no answer without a limit, and uses the HTTP
// client and certificate authorities that all outputs use. Error turns what the SDK
// returns into the class that deliver expects.
package awsx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Config are the keys of the section aws.
type Config struct {
	Region string `key:"region" doc:"Region of the services, such as eu-west-1; empty for the one of the environment or the profile (AWS_REGION)."`
	Access
}

// Access are the keys of the section aws without the region, for an output that has a
// region of its own.
type Access struct {
	AccessKeyID     string        `key:"accesskeyid" doc:"Access key; empty for the credentials that the SDK finds (environment, profile, web identity, the role of the pod or the instance)."`
	SecretAccessKey config.Secret `key:"secretaccesskey" doc:"Secret of the access key."`
	RoleARN         string        `key:"rolearn" doc:"Role to assume with those credentials."`
	ExternalID      string        `key:"externalid" doc:"External id that the role's trust policy asks for."`
	EndpointURL     string        `key:"endpointurl" doc:"Base URL in place of those of AWS, STS's too, for a gateway or an emulator; empty for AWS's own or what AWS_ENDPOINT_URL says."`
	Proxy           config.Secret `key:"proxy" doc:"URL of the proxy for AWS: http, https or socks5, with user and password if need be. Empty for what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, none for no proxy."`
	CheckIdentity   bool          `key:"checkidentity" default:"true" doc:"Ask STS who we are before the first event is sent, so that wrong credentials are named as such."`
}

// Validate checks that the keys agree.
func (c Access) Validate() error {
	if c.EndpointURL != "" {
		if err := httpx.CheckURL(c.EndpointURL); err != nil {
			return config.At("endpointurl", err)
		}
	}
	if err := httpx.CheckProxy(c.Proxy.Reveal()); err != nil {
		return config.At("proxy", err)
	}
	switch {
	case c.AccessKeyID != "" && c.SecretAccessKey.IsZero():
		return config.At("secretaccesskey", errors.New("is required with accesskeyid"))
	case c.AccessKeyID == "" && !c.SecretAccessKey.IsZero():
		return config.At("accesskeyid", errors.New("is required with secretaccesskey"))
	case c.ExternalID != "" && c.RoleARN == "":
		return config.At("externalid", errors.New("has a meaning only with rolearn"))
	}
	return nil
}

// roleSession is the name under which an assumed role shows in CloudTrail.
const roleSession = "saker"

// Session makes a service's client of type C when it is first needed, and keeps it.
type Session[C any] struct {
	config  Config
	http    *http.Client
	service func(aws.Config) C
	// lock holds one element while somebody uses what follows.
	lock   chan struct{}
	ready  bool
	client C
}

// New makes a Session for the client that service makes. It does not touch the network. The
// authorities of AWS_CA_BUNDLE, as everywhere with AWS, replace those of env.
func New[C any](c Config, env outputs.Env, service func(aws.Config) C) (*Session[C], error) {
	env.TLS.CACertFile = cmp.Or(os.Getenv("AWS_CA_BUNDLE"), env.TLS.CACertFile)
	client, err := httpx.New(httpx.Config{CheckCert: true, Proxy: c.Proxy}, env)
	if err != nil {
		return nil, err
	}
	return &Session[C]{config: c, http: client, service: service, lock: make(chan struct{}, 1)}, nil
}

// Client returns the service's client. The first call reads the environment and the
// profile, and asks STS for our identity when the user wants that; a failure is not kept,
// so that the next call tries again.
func (s *Session[C]) Client(ctx context.Context) (C, error) {
	var none C
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-s.lock }()
	if !s.ready {
		c, err := s.load(ctx)
		if err != nil {
			return none, err
		}
		s.client, s.ready = s.service(c), true
	}
	return s.client, nil
}

func (s *Session[C]) load(ctx context.Context) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if s.config.Region != "" {
		options = append(options, awsconfig.WithRegion(s.config.Region))
	}
	if s.config.EndpointURL != "" {
		options = append(options, awsconfig.WithBaseEndpoint(s.config.EndpointURL))
	}
	if s.config.AccessKeyID != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			s.config.AccessKeyID, s.config.SecretAccessKey.Reveal(), "")))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	// What looks for credentials keeps the SDK's own client, which knows the short timeouts
	// of an instance's metadata; all calls of services use ours.
	c.HTTPClient = client{s.http}
	if c.Region == "" {
		return aws.Config{}, outputs.Hold(errors.New("no AWS region is set: set aws.region, or AWS_REGION"))
	}
	if s.config.RoleARN != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(
			sts.NewFromConfig(c), s.config.RoleARN, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = roleSession
				if s.config.ExternalID != "" {
					o.ExternalID = &s.config.ExternalID
				}
			}))
	}
	if s.config.CheckIdentity {
		if _, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil); err != nil {
			// A refusal is about us and never about the event.
			said := Error(err)
			text := errors.New("check our identity with AWS: " + said.Error())
			if outputs.Held(said) || outputs.Rejected(said) {
				return aws.Config{}, outputs.Hold(text)
			}
			return aws.Config{}, text
		}
	}
	return c, nil
}

// Close lets go of idle connections.
func (s *Session[C]) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// maxAnswer is the longest answer that is read, in bytes; Lambda's longest is 6 MB.
const maxAnswer = 8 << 20

// client is the SDK's HTTP client.
type client struct{ http *http.Client }

// Do implements aws.HTTPClient.
func (c client) Do(req *http.Request) (*http.Response, error) {
	return httpx.Exchange(c.http, req, maxAnswer, req.Header.Get("X-Amz-Security-Token"))
}
