// Package gcpstorage stores events as objects in a bucket of Google Cloud Storage.
package gcpstorage

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
		Name:    "gcpstorage",
		Key:     "gcp.storage",
		Title:   "GCPStorage",
		Doc:     "Stores each event as an object in a bucket of Google Cloud Storage, or batches of them.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

const (
	service = "https://storage.googleapis.com"
	scope   = "https://www.googleapis.com/auth/devstorage.read_write"

	maxBatch  = 10_000
	maxObject = 16 << 20 // bytes before compression
	maxPrefix = 900      // a name may have 1024 bytes
)

// Values of format and keys.
const (
	formatNDJSON = "ndjson"
	keysEvent    = "event"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	gcpx.Account `shared:"gcp"`
	Bucket       string `key:"bucket" required:"true" doc:"Name of the bucket."`
	Prefix       string `key:"prefix" doc:"First part of the objects' names, which a slash follows; without it names begin with a slash, as Falcosidekick's do."`
	Format       string `key:"format" default:"json" oneof:"json,ndjson" doc:"json stores each event as an object of its own, its JSON; ndjson stores a batch as one object, compressed with gzip, a line for each event: set batch.age too, so that batches fill up."`
	Keys         string `key:"keys" default:"time" oneof:"time,event" doc:"What follows the prefix in an object's name. time is when it was stored, PREFIX/2026-01-02/2026-01-02T03:04:05.678901234Z.json, as Falcosidekick names objects; event is the first event's time, in UTC, with the event's UUID behind it, so that what is sent twice is stored once."`
	Endpoint     string `key:"endpoint" doc:"URL of the service, where it is not https://storage.googleapis.com: a private or regional endpoint, an emulator."`
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// Validate checks the bucket and the prefix.
func (c Config) Validate() error {
	var bucket, prefix error
	if !bucketName.MatchString(c.Bucket) {
		bucket = errors.New("must be the name of a bucket")
	}
	if len(c.Prefix) > maxPrefix {
		prefix = fmt.Errorf("must have at most %d bytes", maxPrefix)
	}
	return errors.Join(
		config.At("bucket", bucket),
		config.At("prefix", prefix),
		config.At("endpoint", gcpx.CheckEndpoint(c.Endpoint)),
	)
}

type sender struct {
	Config
	client *gcpx.Client
	upload string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	base := cmp.Or(c.Endpoint, service)
	// Nothing is overwritten: the object must not exist.
	upload := httpx.Join(base, "/upload/storage/v1/b/"+c.Bucket+"/o?uploadType=media&ifGenerationMatch=0&name=")
	return &sender{c, gcpx.NewClient(c.Account, client, scope), upload}, nil
}

// MaxBatch is the most events of one object.
func (s *sender) MaxBatch() int {
	if s.Format == formatNDJSON {
		return maxBatch
	}
	return 1
}

// Send stores the batch, as one object or as several if it is too large for one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		o, to := s.object(batch, from)
		return to, s.store(ctx, o)
	})
}

// attempts is how many names are tried for an object that is named by the time.
const attempts = 3

// store uploads o unless it is there already. Where another object has its name by chance,
// o gets another one.
func (s *sender) store(ctx context.Context, o object) error {
	header := http.Header{"Content-Type": {o.kind}}
	for range attempts - 1 {
		err := s.put(ctx, o.name(time.Now()), o, header)
		if gcpx.Status(err) != http.StatusPreconditionFailed {
			return err
		}
		if s.Keys == keysEvent {
			return nil // an attempt whose answer was lost has stored it
		}
	}
	return s.put(ctx, o.name(time.Now()), o, header)
}

func (s *sender) put(ctx context.Context, name string, o object, header http.Header) error {
	answer, err := s.client.Post(ctx, s.upload+url.QueryEscape(name), o.body, header)
	if err != nil {
		return err
	}
	var stored struct {
		Name string `json:"name"`
	}
	if err := gcpx.Expect(answer, &stored); err != nil {
		return err
	}
	if stored.Name == "" {
		return errors.New("the endpoint answered 2xx without the object's name")
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error { return s.client.Close() }

// object is what is stored.
type object struct {
	name func(now time.Time) string
	kind string // its Content-Type
	body []byte
}

// object makes the object for events of the batch, from one place on, and returns the place
// behind the last of them.
func (c Config) object(batch []event.Event, from int) (o object, to int) {
	first := batch[from]
	ending := ".json"
	if c.Format == formatNDJSON {
		ending = ".ndjson.gz"
		var lines []byte
		lines, to = httpx.Fill(nil, from, len(batch), maxObject, func(dst []byte, i int) []byte {
			return append(batch[i].AppendJSON(dst), '\n')
		})
		o = object{kind: "application/gzip", body: httpx.Gzip(lines)}
	} else {
		o, to = object{kind: "application/json", body: first.AppendJSON(nil)}, from+1
	}
	o.name = func(now time.Time) string {
		if c.Keys == keysEvent {
			return path(c.Prefix, first.Time.UTC()) + "_" + id(batch[from:to]) + ending
		}
		return path(c.Prefix, now) + ending
	}
	return o, to
}

func path(prefix string, at time.Time) string {
	return prefix + "/" + at.Format(time.DateOnly) + "/" + at.Format(time.RFC3339Nano)
}

// id returns what tells the object of these events from that of any others, and is the same
// when they are sent again: the UUID of a single one, and else a sum.
func id(batch []event.Event) string {
	if len(batch) == 1 && batch[0].UUID != "" {
		return batch[0].UUID
	}
	sum := sha256.New()
	var text []byte
	for _, e := range batch {
		text = append(e.AppendJSON(text[:0]), '\n')
		_, _ = sum.Write(text) // a sum takes everything
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
