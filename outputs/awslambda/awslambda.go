// Package awslambda invokes a function of AWS Lambda with each event.
package awslambda

import (
	"context"
	_ "embed"
	"errors"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

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
		Name:  "awslambda",
		Key:   "aws.lambda",
		Title: "AWSLambda",
		Doc:   "Invokes a function of AWS Lambda with the JSON of each event. A function that fails is invoked with the same event again.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	awsx.Config    `shared:"aws"`
	FunctionName   string `key:"functionname" required:"true" doc:"Name or ARN of the function, with its version or alias if need be."`
	InvocationType string `key:"invocationtype" default:"RequestResponse" oneof:"RequestResponse,Event,DryRun" doc:"RequestResponse waits for the function, and an event counts as delivered once it has succeeded; Event leaves it in Lambda's own queue; DryRun only checks the permission."`
	LogType        string `key:"logtype" default:"Tail" oneof:"Tail,None" doc:"Tail asks for the end of the function's log, which an error then shows in part."`
}

// functionName matches names and ARNs; Lambda refuses what is not one in more detail.
var functionName = regexp.MustCompile(`^[A-Za-z0-9:$_.-]{1,256}$`)

// Validate checks the function's name.
func (c Config) Validate() error {
	if functionName.MatchString(c.FunctionName) {
		return nil
	}
	return config.At("functionname", errors.New("must be the name or the ARN of a function"))
}

type sender struct {
	Config
	session *awsx.Session[*lambda.Client]
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	session, err := awsx.New(c.Config, env, newClient)
	if err != nil {
		return nil, err
	}
	return &sender{c, session}, nil
}

func newClient(c aws.Config) *lambda.Client { return lambda.NewFromConfig(c) }

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	client, err := s.session.Client(ctx)
	if err != nil {
		return err
	}
	out, err := client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName:   &s.FunctionName,
		InvocationType: types.InvocationType(s.InvocationType),
		LogType:        types.LogType(s.LogType),
		Payload:        payload(batch[0]),
	})
	if err != nil {
		return awsx.Error(err, "InvalidRequestContentException", "RequestTooLargeException",
			"SerializedRequestEntityTooLargeException", "RequestEntityTooLargeException")
	}
	if out.FunctionError != nil {
		return functionError(out)
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.session.Close() }

// functionError is the error for a function that was invoked and failed. Somebody may
// mend the function, so that the event is sent again.
func functionError(out *lambda.InvokeOutput) error {
	text := "the function failed (" + httpx.OneLine(*out.FunctionError) + ")"
	if said := httpx.OneLine(string(out.Payload)); said != "" {
		text += ": " + said
	}
	return errors.New(text)
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) []byte { return e.AppendJSON(nil) }
