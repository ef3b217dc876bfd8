// Package awssns publishes events to a topic of Amazon SNS.
package awssns

import (
	"context"
	_ "embed"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "awssns",
		Key:   "aws.sns",
		Title: "AWSSNS",
		Doc:   "Publishes each event to a topic of Amazon SNS: its text with the fields as message attributes, or its JSON. Several go in one request, up to ten.",
		Page:  page,
		Batch: maxEntries,
		New:   New,
	})
}

const (
	// maxEntries is the most messages of one request.
	maxEntries = 10
	// maxBytes is the most bytes of all messages of a request with their attributes.
	maxBytes = 256 << 10
)

// Config is what a user sets.
type Config struct {
	awsx.Config    `shared:"aws"`
	TopicARN       string `key:"topicarn" required:"true" doc:"ARN of the topic. One that ends with .fifo is a FIFO topic."`
	RawJSON        bool   `key:"rawjson" default:"false" doc:"Publish the event's JSON in place of its text and message attributes."`
	MessageGroupID string `key:"messagegroupid" default:"falco" doc:"Message group of all events, for a FIFO topic. The UUID of an event is its deduplication id."`
}

var (
	topicARN = regexp.MustCompile(`^arn:[a-z0-9-]+:sns:[a-z0-9-]*:[^:]*:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)
	groupID  = regexp.MustCompile(`^[!-~]{1,128}$`)
)

// Validate checks the topic's ARN and the message group.
func (c Config) Validate() error {
	var topic, group error
	if !topicARN.MatchString(c.TopicARN) {
		topic = errors.New("must be the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:falco")
	}
	if !groupID.MatchString(c.MessageGroupID) {
		group = errors.New("must be 1 to 128 letters, digits or punctuation marks")
	}
	return errors.Join(config.At("topicarn", topic), config.At("messagegroupid", group))
}

type sender struct {
	Config
	session *awsx.Session[*sns.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func newClient(c aws.Config) *sns.Client { return sns.NewFromConfig(c) }

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	messages := make([]message, len(batch))
	for i, e := range batch {
		messages[i] = payload(s.Config, e)
	}
	limits := awsx.Limits{Events: maxEntries, Bytes: maxBytes}
	size := func(i int) int { return messages[i].size }
	next := func(from int) int { return limits.Next(from, len(messages), size) }
	return awsx.InChunks(len(messages), next, func(from, to int) error {
		if to-from == 1 {
			return s.publish(ctx, client, messages[from])
		}
		return s.publishBatch(ctx, client, messages[from:to])
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }

// faults are those of an event's content.
var faults = []string{
	"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid",
	"BatchRequestTooLong", "AWS.SimpleNotificationService.BatchRequestTooLong",
}

var errNoID = errors.New("the answer has no message id")

func (s *sender) publish(ctx context.Context, client *sns.Client, m message) error {
	out, err := client.Publish(ctx, &sns.PublishInput{
		TopicArn: &s.TopicARN, Message: &m.text, MessageAttributes: m.attributes,
		MessageGroupId: m.group, MessageDeduplicationId: m.id,
	})
	if err != nil {
		return classed(err)
	}
	if aws.ToString(out.MessageId) == "" {
		return errNoID
	}
	return nil
}

func (s *sender) publishBatch(ctx context.Context, client *sns.Client, messages []message) error {
	entries := make([]types.PublishBatchRequestEntry, len(messages))
	failed := outputs.Partial{}
	for i, m := range messages {
		entries[i] = types.PublishBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), Message: &m.text, MessageAttributes: m.attributes,
			MessageGroupId: m.group, MessageDeduplicationId: m.id,
		}
		failed[i] = errNoID
	}
	out, err := client.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: &s.TopicARN, PublishBatchRequestEntries: entries})
	if err != nil {
		return classed(err)
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

// classed is awsx.Error for what SNS answers. It has one code for all wrong parameters, and
// only its message says that the topic is the wrong one.
func classed(err error) error {
	fault, ok := errors.AsType[smithy.APIError](err)
	if ok && strings.Contains(fault.ErrorMessage(), "TopicArn") {
		return awsx.Error(err)
	}
	return awsx.Error(err, faults...)
}
