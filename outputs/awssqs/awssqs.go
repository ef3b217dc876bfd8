// Package awssqs sends events to a queue of Amazon SQS.
package awssqs

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "awssqs",
		Key:     "aws.sqs",
		Title:   "AWSSQS",
		Doc:     "Sends the JSON of each event as a message to a queue of Amazon SQS, ten in one request where there are several.",
		Page:    page,
		Batch:   limits.Events,
		Archive: true,
		New:     New,
	})
}

// limits are those of SendMessageBatch; for queues made before August 2025, and those of
// emulators, 256 KiB is the most of all messages together.
var limits = awsx.Limits{Events: 10, Bytes: 256 << 10}

// Config is what a user sets.
type Config struct {
	awsx.Config    `shared:"aws"`
	URL            string `key:"url" required:"true" doc:"URL of the queue. One that ends with .fifo is a FIFO queue."`
	MessageGroupID string `key:"messagegroupid" default:"falco" doc:"Message group of all events, for a FIFO queue. The UUID of an event is its deduplication id."`
}

// groupID matches what SQS takes as a message group.
var groupID = regexp.MustCompile(`^[!-~]{1,128}$`)

// Validate checks the queue's URL and the message group.
func (c Config) Validate() error {
	var group error
	if !groupID.MatchString(c.MessageGroupID) {
		group = errors.New("must be 1 to 128 letters, digits or punctuation marks")
	}
	return errors.Join(config.At("url", httpx.CheckURL(c.URL)), config.At("messagegroupid", group))
}

type sender struct {
	Config
	session *awsx.Session[*sqs.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func newClient(c aws.Config) *sqs.Client { return sqs.NewFromConfig(c) }

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	entries := payload(s.Config, batch)
	size := func(i int) int { return len(*entries[i].MessageBody) }
	next := func(from int) int { return limits.Next(from, len(entries), size) }
	return awsx.InChunks(len(entries), next, func(from, to int) error {
		if to-from == 1 {
			return s.sendOne(ctx, client, entries[from])
		}
		return s.sendSeveral(ctx, client, entries[from:to])
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }

// faults are those of an event's content.
var faults = []string{
	"InvalidMessageContents", "InvalidParameterValue",
	"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
}

var errNoID = errors.New("the answer has no message id")

func (s *sender) sendOne(ctx context.Context, client *sqs.Client, e types.SendMessageBatchRequestEntry) error {
	out, err := client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &s.URL, MessageBody: e.MessageBody,
		MessageGroupId: e.MessageGroupId, MessageDeduplicationId: e.MessageDeduplicationId,
	})
	if err != nil {
		return awsx.Error(err, faults...)
	}
	if aws.ToString(out.MessageId) == "" {
		return errNoID
	}
	return nil
}

func (s *sender) sendSeveral(ctx context.Context, client *sqs.Client, entries []types.SendMessageBatchRequestEntry) error {
	for i := range entries {
		entries[i].Id = aws.String(strconv.Itoa(i))
	}
	out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &s.URL, Entries: entries})
	if err != nil {
		return awsx.Error(err, faults...)
	}
	failed := outputs.Partial{}
	for i := range entries {
		failed[i] = errNoID
	}
	for _, e := range out.Successful {
		if i, known := place(e.Id, len(entries)); known {
			delete(failed, i)
		}
	}
	for _, e := range out.Failed {
		if i, known := place(e.Id, len(entries)); known {
			failed[i] = awsx.Fault(aws.ToString(e.Code), aws.ToString(e.Message), e.SenderFault, faults...)
		}
	}
	return failed.OrNil()
}

// place returns which of n entries has the id.
func place(id *string, n int) (i int, known bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < n
}

// payload is what the golden files pin: a message for each event.
func payload(c Config, batch []event.Event) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, len(batch))
	for i, e := range batch {
		entries[i].MessageBody = aws.String(awsx.Body(e))
		if strings.HasSuffix(c.URL, ".fifo") {
			entries[i].MessageGroupId = &c.MessageGroupID
			entries[i].MessageDeduplicationId = aws.String(cmp.Or(e.UUID, uuid.NewString()))
		}
	}
	return entries
}
