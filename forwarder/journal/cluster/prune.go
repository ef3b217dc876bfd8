package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

// idleConsumer is how long a consumer that nobody uses is kept by Prune.
const idleConsumer = 7 * 24 * time.Hour

// Prune deletes the cursors of outputs that are not in keep and that no forwarder has used
// for 7 days; until then an output that was taken out by mistake finds its place again. It
// returns the names of the deleted ones and of those that wait to be, sorted.
func (j *Journal) Prune(ctx context.Context, keep []string) (deleted, waiting []string, err error) {
	return j.prune(ctx, keep, time.Now().Add(-idleConsumer))
}

func (j *Journal) prune(ctx context.Context, keep []string, before time.Time) (deleted, waiting []string, err error) {
	log, err := stream.Open(ctx, j.js, j.names.stream)
	if err != nil {
		return nil, nil, fmt.Errorf("list cursors: %w", j.broken(err))
	}
	list := log.ListConsumers(ctx)
	var idle []string
	for info := range list.Info() {
		name := journal.UnescapeName(info.Name)
		if info.Config.Durable == "" || slices.Contains(keep, name) {
			continue
		}
		if info.NumWaiting > 0 || !lastUse(info).Before(before) {
			waiting = append(waiting, name)
			continue
		}
		idle = append(idle, info.Name)
	}
	if err := list.Err(); err != nil {
		return nil, nil, fmt.Errorf("list cursors: %w", j.broken(err))
	}
	for _, durable := range idle {
		if err := log.DeleteConsumer(ctx, durable); err != nil {
			return deleted, waiting, fmt.Errorf("delete cursor %q: %w", journal.UnescapeName(durable), j.broken(err))
		}
		deleted = append(deleted, journal.UnescapeName(durable))
	}
	slices.Sort(deleted)
	slices.Sort(waiting)
	return deleted, waiting, nil
}

// lastUse returns when a consumer was last opened, or handed out an event.
func lastUse(info *jetstream.ConsumerInfo) time.Time {
	used := info.Created
	if seen, err := strconv.ParseInt(info.Config.Metadata[seenKey], 10, 64); err == nil {
		used = time.Unix(seen, 0)
	}
	for _, t := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
		if t != nil && t.After(used) {
			used = *t
		}
	}
	return used
}
