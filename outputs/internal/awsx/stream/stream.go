// Package stream is what outputs share that put events into a stream over the API of Amazon
// Kinesis Data Streams.
//
// One event goes with PutRecord, several go with PutRecords, as many as one request may
// carry. The UUID of an event is its partition key, so that events spread over the shards
// and one that is sent twice is in one shard.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
)

const (
	// MaxRecords is the most records of one request.
	MaxRecords = 500
	// maxBytes is the most bytes of a request's records with their keys. Kinesis takes twice
	// as many by now, its kin do not.
	maxBytes = 5 << 20
	// maxRecord is the most bytes of a record that every stream takes.
	maxRecord = 1 << 20
)

// Put puts the batch into the stream called name. Its error is one that Send may return.
func Put(ctx context.Context, client *kinesis.Client, name string, batch []event.Event) error {
	records := Records(batch)
	limits := awsx.Limits{Events: MaxRecords, Bytes: maxBytes}
	next := func(from int) int {
		return limits.Next(from, len(records), func(i int) int { return size(records[i]) })
	}
	return awsx.InChunks(len(records), next, func(from, to int) error {
		if to-from == 1 {
			return putOne(ctx, client, name, records[from])
		}
		return putSeveral(ctx, client, name, records[from:to])
	})
}

// Records returns a record of each event: its JSON.
func Records(batch []event.Event) []types.PutRecordsRequestEntry {
	records := make([]types.PutRecordsRequestEntry, len(batch))
	for i, e := range batch {
		records[i].Data = e.AppendJSON(nil)
		records[i].PartitionKey = aws.String(cmp.Or(e.UUID, uuid.NewString()))
	}
	return records
}

func size(r types.PutRecordsRequestEntry) int { return len(r.Data) + len(*r.PartitionKey) }

func putOne(ctx context.Context, client *kinesis.Client, name string, r types.PutRecordsRequestEntry) error {
	out, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, Data: r.Data, PartitionKey: r.PartitionKey})
	if err != nil {
		return classed(err, r)
	}
	if aws.ToString(out.SequenceNumber) == "" {
		return errors.New("the answer has no sequence number")
	}
	return nil
}

func putSeveral(ctx context.Context, client *kinesis.Client, name string, records []types.PutRecordsRequestEntry) error {
	out, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: records})
	if err != nil {
		return classed(err, records...)
	}
	if len(out.Records) != len(records) {
		return fmt.Errorf("the answer speaks of %d records, not of %d", len(out.Records), len(records))
	}
	failed := outputs.Partial{}
	for i, r := range out.Records {
		if code := aws.ToString(r.ErrorCode); code != "" || aws.ToString(r.SequenceNumber) == "" {
			failed[i] = awsx.Fault(cmp.Or(code, "no sequence number"), aws.ToString(r.ErrorMessage), false)
		}
	}
	return failed.OrNil()
}

// faults are those that a record which is too large has, and a wrong name of the stream.
var faults = []string{"ValidationException", "InvalidArgumentException", "SerializationException"}

// classed is awsx.Error for what a stream answers to the records.
func classed(err error, records ...types.PutRecordsRequestEntry) error {
	tooLarge := slices.ContainsFunc(records, func(r types.PutRecordsRequestEntry) bool { return size(r) > maxRecord })
	fault, ok := errors.AsType[smithy.APIError](err)
	if ok && tooLarge && slices.Contains(faults, fault.ErrorCode()) {
		return awsx.Error(err, faults...)
	}
	return awsx.Error(err)
}
