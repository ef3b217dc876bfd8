package forwarder

import (
	"context"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// silencesWait is how long the start waits for the silences to be read. Delivering without
// them could wake somebody for nothing; not delivering is worse.
const silencesWait = 2 * time.Second

// lateBucket is a bucket of the journal that is opened when it is first needed, so that
// the forwarder can start while a shared journal is out of reach.
type lateBucket struct {
	journal journal.Journal
	name    string

	mu     sync.Mutex
	bucket journal.Bucket // nil before it has been opened
}

func (b *lateBucket) open(ctx context.Context) (journal.Bucket, error) {
	b.mu.Lock()
	bucket := b.bucket
	b.mu.Unlock()
	if bucket != nil {
		return bucket, nil
	}
	bucket, err := b.journal.Bucket(ctx, b.name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bucket = bucket
	return bucket, nil
}

// Put implements journal.Bucket.
func (b *lateBucket) Put(ctx context.Context, key string, value []byte) error {
	bucket, err := b.open(ctx)
	if err != nil {
		return err
	}
	return bucket.Put(ctx, key, value)
}

// Delete implements journal.Bucket.
func (b *lateBucket) Delete(ctx context.Context, key string) error {
	bucket, err := b.open(ctx)
	if err != nil {
		return err
	}
	return bucket.Delete(ctx, key)
}

// Watch implements journal.Bucket.
func (b *lateBucket) Watch(ctx context.Context, changed func(key string, value []byte), ready func()) error {
	bucket, err := b.open(ctx)
	if err != nil {
		return err
	}
	return bucket.Watch(ctx, changed, ready)
}

// awaitSilences waits until the silences have been read, at most silencesWait.
func (f *forwarder) awaitSilences(ctx context.Context) {
	wait := time.NewTimer(silencesWait)
	defer wait.Stop()
	select {
	case <-f.book.Synced():
	case <-wait.C:
		f.Log.Warn("the silences could not be read yet: until they are, they hold nothing back")
	case <-ctx.Done():
	}
}
