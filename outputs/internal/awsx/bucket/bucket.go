// Package bucket is what outputs share that store events as objects in a bucket over the
// API of Amazon S3: the keys of their configuration, the objects' names and contents, and
// what the service's answers mean for delivery.
package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx"
)

// MaxBatch is the most events of one object.
const MaxBatch = 10_000

// Objects are the keys of an output that stores events as objects.
type Objects struct {
	Bucket string `key:"bucket" required:"true" doc:"Name of the bucket."`
	Prefix string `key:"prefix" default:"falco" doc:"First part of the objects' keys."`
	Format string `key:"format" default:"json" oneof:"json,ndjson" doc:"json stores each event as an object of its own, its JSON; ndjson stores a batch as one object, compressed with gzip, a line for each event: set batch.age too, so that batches fill up."`
	Keys   string `key:"keys" default:"time" oneof:"time,event" doc:"What follows the prefix in an object's key. time is when it was stored, PREFIX/2026-01-02/2026-01-02T03:04:05.678901234Z.json, as Falcosidekick names objects; event is the first event's time, in UTC, with the event's UUID behind it, so that what is sent twice is stored once and several forwarders can never overwrite each other's objects."`
}

// bucketName matches names of buckets, and the ARNs and aliases of access points.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9._:/-]{3,255}$`)

// Validate checks the name of the bucket and the prefix.
func (o Objects) Validate() error { return errors.Join(CheckName(o.Bucket), CheckPrefix(o.Prefix)) }

// CheckName returns what is wrong with the name of a bucket.
func CheckName(name string) error {
	if bucketName.MatchString(name) {
		return nil
	}
	return config.At("bucket", errors.New("must be the name of a bucket"))
}

// maxPrefix is the longest prefix of a key, in bytes; a key may have 1024.
const maxPrefix = 900

// CheckPrefix returns what is wrong with the prefix of keys.
func CheckPrefix(prefix string) error {
	if len(prefix) <= maxPrefix {
		return nil
	}
	return config.At("prefix", fmt.Errorf("must have at most %d bytes", maxPrefix))
}

// MaxBatch is the most events of one object: it makes the sender an outputs.Limited.
func (o Objects) MaxBatch() int {
	if o.Format == "ndjson" {
		return MaxBatch
	}
	return 1
}

// Object is what is stored.
type Object struct {
	Key, Type, Encoding string
	Body                []byte
}

// Clock returns the time for objects' keys: each later than the one before, so that two
// objects of one moment have two keys.
type Clock struct {
	mu   sync.Mutex
	last time.Time
}

// Now returns the time of day, or a nanosecond more than it last returned.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !now.After(c.last) {
		now = c.last.Add(time.Nanosecond)
	}
	c.last = now
	return now
}

// Object returns the object for the events, which are one unless Format is ndjson.
func (o Objects) Object(now time.Time, batch []event.Event) (Object, error) {
	name := now.Format("2006-01-02") + "/" + now.Format(time.RFC3339Nano)
	if o.Keys == "event" {
		at := batch[0].Time.UTC()
		name = at.Format("2006-01-02") + "/" + at.Format(time.RFC3339Nano) + "_" + ID(batch)
	}
	key := o.Prefix + "/" + name
	if o.Format != "ndjson" {
		return Object{Key: key + ".json", Body: batch[0].AppendJSON(nil)}, nil
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	var line []byte
	for _, e := range batch {
		line = append(e.AppendJSON(line[:0]), '\n')
		if _, err := z.Write(line); err != nil {
			return Object{}, err
		}
	}
	if err := z.Close(); err != nil {
		return Object{}, err
	}
	return Object{Key: key + ".ndjson.gz", Type: "application/x-ndjson", Encoding: "gzip", Body: body.Bytes()}, nil
}

// ID returns what tells the object of a batch from that of any other one, and is the same
// when the batch is sent again: the UUID of a single event, and one made of all their UUIDs
// if they are several.
func ID(batch []event.Event) string {
	if len(batch) == 1 && batch[0].UUID != "" {
		return batch[0].UUID
	}
	var all strings.Builder
	for _, e := range batch {
		if e.UUID == "" {
			return uuid.NewString()
		}
		all.WriteString(e.UUID + "\n")
	}
	return uuid.NewHash(sha256.New(), uuid.NameSpaceOID, []byte(all.String()), 8).String()
}

// Store stores the batch with put, as one object or one for each event. Its error is one that
// a Sender may return.
func (o Objects) Store(clock *Clock, batch []event.Event, put func(Object) error) error {
	next := func(from int) int { return min(from+o.MaxBatch(), len(batch)) }
	return awsx.InChunks(len(batch), next, func(from, to int) error {
		object, err := o.Object(clock.Now(), batch[from:to])
		if err != nil {
			return err
		}
		return put(object)
	})
}

// faults are those of an object's content.
var faults = []string{"EntityTooLarge", "KeyTooLongError"}

// Put stores o. in has what the output adds to it, the bucket at least. The checksum goes in a
// header: left to itself, the SDK would over TLS send it behind the body, in a coding that not
// every service which speaks as S3 does understands.
func Put(ctx context.Context, client *s3.Client, in s3.PutObjectInput, o Object) error {
	in.Key, in.Body = &o.Key, bytes.NewReader(o.Body)
	if client.Options().RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired {
		sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(o.Body))
		in.ChecksumCRC32 = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	if o.Type != "" {
		in.ContentType = &o.Type
	}
	if o.Encoding != "" {
		in.ContentEncoding = &o.Encoding
	}
	_, err := client.PutObject(ctx, &in)
	return awsx.Error(err, faults...)
}
