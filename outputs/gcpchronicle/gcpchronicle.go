// Package gcpchronicle imports events as raw logs into Google Security Operations, formerly
// Chronicle.
package gcpchronicle

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/gcpx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "gcpchronicle",
		Key:     "gcp.chronicle",
		Title:   "GCPChronicle",
		Doc:     "Imports each event as a raw log into Google Security Operations (Chronicle).",
		Page:    page,
		Batch:   1000,
		Archive: true,
		New:     New,
	})
}

const (
	scope = "https://www.googleapis.com/auth/cloud-platform"
	// maxRequest is the most bytes of a request with several logs; the service takes 4 MB.
	maxRequest = 3 << 20
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	gcpx.Account `shared:"gcp"`
	Region       string `key:"region" required:"true" doc:"Region of the instance, such as us, eu or europe-west2."`
	ProjectID    string `key:"projectid" required:"true" doc:"Project that the instance is bound to."`
	InstanceID   string `key:"instanceid" required:"true" doc:"ID of the instance, its customer ID."`
	LogType      string `key:"logtype" default:"FALCO_IDS" doc:"Log type of the logs, which chooses their parser."`
	Endpoint     string `key:"endpoint" doc:"URL of the service, where it is not https://chronicle.REGION.rep.googleapis.com."`
}

// id is what the parts of the address must be.
var id = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`)

// Validate checks the parts of the address.
func (c Config) Validate() error {
	check := func(key, value string) error {
		if id.MatchString(value) {
			return nil
		}
		return config.At(key, errors.New("must begin with a letter or digit and have nothing but letters, digits, _ and -"))
	}
	return errors.Join(
		check("region", c.Region),
		check("projectid", c.ProjectID),
		check("instanceid", c.InstanceID),
		check("logtype", c.LogType),
		config.At("endpoint", gcpx.CheckEndpoint(c.Endpoint)),
	)
}

type sender struct {
	*gcpx.Client
	address string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	base := cmp.Or(c.Endpoint, "https://chronicle."+c.Region+".rep.googleapis.com")
	address := httpx.Join(base, "/v1beta/projects/"+c.ProjectID+"/locations/"+c.Region+
		"/instances/"+c.InstanceID+"/logTypes/"+c.LogType+"/logs:import")
	return &sender{gcpx.NewClient(c.Account, client, scope), address}, nil
}

// Send imports the batch, in several requests if it is too large for one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := request(batch, from, time.Now().UTC())
		answer, err := s.Post(ctx, s.address, body, http.Header{"Content-Type": {"application/json"}})
		if err != nil {
			return to, err
		}
		return to, gcpx.Expect(answer, &struct{}{})
	})
}

// request returns the body that imports events of the batch, from one place on, and the
// place behind the last.
func request(batch []event.Event, from int, now time.Time) (body []byte, to int) {
	var text []byte
	body, to = httpx.Fill([]byte(`{"inlineSource":{"logs":[`), from, len(batch), maxRequest, func(dst []byte, i int) []byte {
		if i > from {
			dst = append(dst, ',')
		}
		text = batch[i].AppendJSON(text[:0])
		return appendLog(dst, text, batch[i].Time, now)
	})
	return append(body, `]}}`...), to
}

// appendLog appends the log of an event's JSON. The service wants a log to be collected
// after it was written.
func appendLog(dst, text []byte, written, collected time.Time) []byte {
	if !collected.After(written) {
		collected = written.Add(time.Second)
	}
	dst = append(dst, `{"collectionTime":"`...)
	dst = collected.AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, text)
	dst = append(dst, `","logEntryTime":"`...)
	dst = written.AppendFormat(dst, time.RFC3339)
	return append(dst, `"}`...)
}
