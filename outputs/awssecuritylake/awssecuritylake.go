// Package awssecuritylake writes events to Amazon Security Lake: as Security Findings of
// OCSF, in Parquet files in the lake's bucket.
package awssecuritylake

import (
	"context"
	_ "embed"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/awsx/bucket"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "awssecuritylake",
		Key:     "aws.securitylake",
		Title:   "AWSSecurityLake",
		Doc:     "Writes events to Amazon Security Lake: a Parquet file of OCSF Security Findings for the events of each interval.",
		Page:    page,
		Batch:   bucket.MaxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	awsx.Access `shared:"aws"`
	Bucket      string `key:"bucket" required:"true" doc:"Name of the lake's bucket in the region."`
	Region      string `key:"region" required:"true" doc:"Region of the bucket, which also stands in the objects' keys."`
	Prefix      string `key:"prefix" required:"true" doc:"First part of the objects' keys: that of the custom source's location, ext/NAME."`
	AccountID   string `key:"accountid" required:"true" doc:"Id of the AWS account that the events come from; it stands in the objects' keys."`
	Interval    uint   `key:"interval" default:"5" doc:"Minutes between two files when fewer events than batchsize come in, from 5 to 60; what is less or more counts as the nearest of them. batch.age, if it is set, takes its place."`
	BatchSize   uint   `key:"batchsize" default:"1000" doc:"Most events of a file; 0 and what is more than 10000 counts as 10000. batch.bytes is a limit, too."`
}

var (
	region    = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	accountID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// Validate checks what the objects' keys are made of.
func (c Config) Validate() error {
	var in, id error
	if !region.MatchString(c.Region) {
		in = errors.New("must be a region, such as eu-west-1")
	}
	if !accountID.MatchString(c.AccountID) {
		id = errors.New("must be the id of an account: twelve digits")
	}
	return errors.Join(bucket.CheckName(c.Bucket), config.At("region", in), bucket.CheckPrefix(c.Prefix), config.At("accountid", id))
}

type sender struct {
	Config
	session *awsx.Session[*s3.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(awsx.Config{Region: c.Region, Access: c.Access}, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func newClient(c aws.Config) *s3.Client { return s3.NewFromConfig(c) }

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.BatchSize == 0 {
		return bucket.MaxBatch
	}
	return int(min(s.BatchSize, bucket.MaxBatch))
}

// BatchAge implements outputs.Collecting.
func (s *sender) BatchAge() time.Duration {
	return time.Duration(min(max(s.Interval, 5), 60)) * time.Minute
}

// contentType is what Falcosidekick says of its files.
const contentType = "Apache Parquet"

// Send stores the batch as one object for each day that its events are of, because the lake
// keeps its files by day.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	events, places := byDay(batch)
	next := func(from int) int {
		another := func(e event.Event) bool { return day(e) != day(events[from]) }
		if n := slices.IndexFunc(events[from:], another); n > 0 {
			return from + n
		}
		return len(events)
	}
	err = awsx.InChunks(len(events), next, func(from, to int) error { return s.store(ctx, client, events[from:to]) })
	return awsx.InPlace(err, places)
}

func (s *sender) store(ctx context.Context, client *s3.Client, events []event.Event) error {
	body, err := payload(events)
	if err != nil {
		return err
	}
	return bucket.Put(ctx, client, s3.PutObjectInput{Bucket: &s.Bucket, ACL: types.ObjectCannedACLBucketOwnerFullControl},
		bucket.Object{Key: key(s.Config, events), Type: contentType, Body: body})
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }

// key is the key of the object for events of one day.
func key(c Config, events []event.Event) string {
	return c.Prefix + "/region=" + c.Region + "/accountId=" + c.AccountID +
		"/eventDay=" + day(events[0]) + "/" + bucket.ID(events) + ".parquet"
}

// day is the day of an event as the lake writes it.
func day(e event.Event) string { return e.Time.UTC().Format("20060102") }

// byDay returns the events sorted by their days, and the place in the batch of each.
func byDay(batch []event.Event) (events []event.Event, places []int) {
	for i := range batch {
		places = append(places, i)
	}
	slices.SortStableFunc(places, func(a, b int) int { return strings.Compare(day(batch[a]), day(batch[b])) })
	for _, i := range places {
		events = append(events, batch[i])
	}
	return events, places
}
