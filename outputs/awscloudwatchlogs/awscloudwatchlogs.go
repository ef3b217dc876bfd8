// Package awscloudwatchlogs puts events into a log group of Amazon CloudWatch Logs.
package awscloudwatchlogs

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "awscloudwatchlogs",
		Key:     "aws.cloudwatchlogs",
		Title:   "AWSCloudWatchLogs",
		Doc:     "Puts the JSON of each event into a log stream of Amazon CloudWatch Logs, up to 1000 in one request.",
		Page:    page,
		Batch:   1000,
		Archive: true,
		New:     New,
	})
}

const (
	// maxBytes is the most bytes of a request's messages with the overhead of each.
	maxBytes = 1 << 20
	overhead = 26
	// maxEvents is the most log events of a request.
	maxEvents = 10_000
	// maxMessage is the most bytes of a message that every log group takes.
	maxMessage = 256 << 10
	// maxSpan is the most time between the first and the last of them.
	maxSpan = 24 * time.Hour
)

// defaultStream is the log stream when none is set.
const defaultStream = "falcosidekick-logstream"

// Config is what a user sets.
type Config struct {
	awsx.Config `shared:"aws"`
	LogGroup    string `key:"loggroup" required:"true" doc:"Name of the log group, which must be there."`
	LogStream   string `key:"logstream" doc:"Name of the log stream, which is made if it is not there; empty for falcosidekick-logstream."`
}

var (
	groupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamName = regexp.MustCompile(`^[^:*]{0,512}$`)
)

// Validate checks the names.
func (c Config) Validate() error {
	var group, stream error
	if !groupName.MatchString(c.LogGroup) {
		group = errors.New("must be the name of a log group: letters, digits, and any of . - _ / #")
	}
	if !streamName.MatchString(c.LogStream) {
		stream = errors.New("must be the name of a log stream, without colons and asterisks")
	}
	return errors.Join(config.At("loggroup", group), config.At("logstream", stream))
}

type sender struct {
	Config
	session *awsx.Session[*cloudwatchlogs.Client]
	// made says that the default stream is known to be there.
	made atomic.Bool
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, session: session}, nil
}

func newClient(c aws.Config) *cloudwatchlogs.Client { return cloudwatchlogs.NewFromConfig(c) }

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }

// Send puts the events in the order of their times, which is what the service asks for.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	if err := s.prepare(ctx, client); err != nil {
		return err
	}
	logs, places := payload(batch)
	err = awsx.InChunks(len(logs), func(from int) int { return next(logs, from) }, func(from, to int) error {
		return s.put(ctx, client, logs[from:to])
	})
	return awsx.InPlace(err, places)
}

// prepare makes the default stream before it is first used.
func (s *sender) prepare(ctx context.Context, client *cloudwatchlogs.Client) error {
	if s.LogStream != "" || s.made.Load() {
		return nil
	}
	if err := s.makeStream(ctx, client); err != nil {
		return err
	}
	s.made.Store(true)
	return nil
}

func (s *sender) makeStream(ctx context.Context, client *cloudwatchlogs.Client) error {
	_, err := client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &s.LogGroup, LogStreamName: s.stream()})
	if _, there := errors.AsType[*types.ResourceAlreadyExistsException](err); there {
		return nil
	}
	return refusal(err)
}

func (s *sender) stream() *string { return aws.String(cmp.Or(s.LogStream, defaultStream)) }

// put sends one request. A stream that is not there is made.
func (s *sender) put(ctx context.Context, client *cloudwatchlogs.Client, logs []types.InputLogEvent) error {
	in := &cloudwatchlogs.PutLogEventsInput{LogEvents: logs, LogGroupName: &s.LogGroup, LogStreamName: s.stream()}
	out, err := client.PutLogEvents(ctx, in)
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		if err := s.makeStream(ctx, client); err != nil {
			return err
		}
		out, err = client.PutLogEvents(ctx, in)
	} else if wrong, ok := errors.AsType[*types.InvalidSequenceTokenException](err); ok && wrong.ExpectedSequenceToken != nil {
		in.SequenceToken = wrong.ExpectedSequenceToken
		out, err = client.PutLogEvents(ctx, in)
	}
	if _, there := errors.AsType[*types.DataAlreadyAcceptedException](err); there {
		return nil // from an attempt whose answer was lost
	}
	if err != nil {
		return refusal(err, logs...)
	}
	return refused(out.RejectedLogEventsInfo, len(logs))
}

// faults are those of what a request holds, if its messages are too large.
var faults = []string{"InvalidParameterException"}

// refusal is the error for a request that was not accepted.
func refusal(err error, logs ...types.InputLogEvent) error {
	if slices.ContainsFunc(logs, func(l types.InputLogEvent) bool { return size(l) > maxMessage }) {
		return awsx.Error(err, faults...)
	}
	return awsx.Error(err)
}

// refused is the error for the log events of an accepted request that were left out.
func refused(info *types.RejectedLogEventsInfo, n int) error {
	if info == nil {
		return nil
	}
	failed := outputs.Partial{}
	left := func(from, to int32, why string) {
		for i := max(int(from), 0); i < min(int(to), n); i++ {
			failed[i] = outputs.Reject(errors.New("the service left the event out: " + why))
		}
	}
	left(0, aws.ToInt32(info.TooOldLogEventEndIndex), "it is more than 14 days old")
	left(0, aws.ToInt32(info.ExpiredLogEventEndIndex), "it is older than the log group's retention")
	if info.TooNewLogEventStartIndex != nil {
		left(*info.TooNewLogEventStartIndex, int32(n), "its time is more than 2 hours ahead")
	}
	return failed.OrNil()
}

// payload is what the golden files pin: the log events by time, and the place in the batch
// of each.
func payload(batch []event.Event) (logs []types.InputLogEvent, places []int) {
	for i := range batch {
		places = append(places, i)
	}
	slices.SortStableFunc(places, func(a, b int) int {
		return cmp.Compare(batch[a].Time.UnixMilli(), batch[b].Time.UnixMilli())
	})
	for _, i := range places {
		logs = append(logs, types.InputLogEvent{
			Message:   aws.String(string(batch[i].AppendJSON(nil))),
			Timestamp: aws.Int64(batch[i].Time.UnixMilli()),
		})
	}
	return logs, places
}

func size(l types.InputLogEvent) int { return len(*l.Message) + overhead }

// next returns where the request that begins with log event from ends.
func next(logs []types.InputLogEvent, from int) (to int) {
	limits := awsx.Limits{Events: maxEvents, Bytes: maxBytes}
	to = limits.Next(from, len(logs), func(i int) int { return size(logs[i]) })
	for *logs[to-1].Timestamp-*logs[from].Timestamp >= maxSpan.Milliseconds() {
		to--
	}
	return to
}
