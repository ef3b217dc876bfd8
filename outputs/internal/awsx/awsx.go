// Package awsx is what the outputs for AWS share: the keys of the section aws, and the
// SDK's configuration made of them.
//
// An output embeds Config with the tag shared:"aws", makes a Session with New, and asks it
// for the SDK's configuration in Send. The SDK is set up for our delivery: it makes one
// attempt (the forwarder repeats), reads no answer without a limit, and uses the HTTP
// client and certificate authorities that all outputs use. Error turns what the SDK
// returns into the class that deliver expects.
package awsx

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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
	Region          string        `key:"region" doc:"Region of the services, such as eu-west-1; empty for the one of the environment or the profile (AWS_REGION)."`
	AccessKeyID     string        `key:"accesskeyid" doc:"Access key; empty for the credentials that the SDK finds (environment, profile, web identity, the role of the pod or the instance)."`
	SecretAccessKey config.Secret `key:"secretaccesskey" doc:"Secret of the access key."`
	RoleARN         string        `key:"rolearn" doc:"Role to assume with those credentials."`
	ExternalID      string        `key:"externalid" doc:"External id that the role's trust policy asks for."`
	CheckIdentity   bool          `key:"checkidentity" default:"true" doc:"Ask STS who we are before the first event is sent, so that wrong credentials are named as such."`
}

// Validate checks that an access key has both its halves.
func (c Config) Validate() error {
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

// Session makes the SDK's configuration when it is first needed, and keeps it.
type Session struct {
	config Config
	http   *http.Client
	// lock holds one element while somebody uses loaded.
	lock   chan struct{}
	loaded *aws.Config
}

// New makes a Session. It does not touch the network.
func New(c Config, env outputs.Env) (*Session, error) {
	client, err := httpx.New(httpx.Config{CheckCert: true}, env)
	if err != nil {
		return nil, err
	}
	return &Session{config: c, http: client, lock: make(chan struct{}, 1)}, nil
}

// AWS returns the SDK's configuration. The first call reads the environment and the
// profile, and asks STS for our identity when the user wants that; a failure is not kept,
// so that the next call tries again.
func (s *Session) AWS(ctx context.Context) (aws.Config, error) {
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return aws.Config{}, ctx.Err()
	}
	defer func() { <-s.lock }()
	if s.loaded == nil {
		c, err := s.load(ctx)
		if err != nil {
			return aws.Config{}, err
		}
		s.loaded = &c
	}
	return *s.loaded, nil
}

func (s *Session) load(ctx context.Context) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(client{s.http}),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if s.config.Region != "" {
		options = append(options, awsconfig.WithRegion(s.config.Region))
	}
	if s.config.AccessKeyID != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			s.config.AccessKeyID, s.config.SecretAccessKey.Reveal(), "")))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	if c.Region == "" {
		return aws.Config{}, errors.New("no AWS region is set: set aws.region, or AWS_REGION")
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
			// A refusal is about us and never about the event, so that no class is kept.
			return aws.Config{}, fmt.Errorf("check our identity with AWS: %s", Error(err))
		}
	}
	return c, nil
}

// Close lets go of idle connections.
func (s *Session) Close() error {
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
