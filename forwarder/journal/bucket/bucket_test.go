package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/bucket"
	"github.com/saker-security/saker/forwarder/journal/internal/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, js jetstream.JetStream) *bucket.Bucket {
	t.Helper()
	b := bucket.New(js, bucket.Options{
		Stream: "SILENCES", Subject: "records.silences.", Replicas: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b *bucket.Bucket, key, value string) {
	t.Helper()
	if err := b.Put(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, b *bucket.Bucket, key string) {
	t.Helper()
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// watch returns what Watch tells, as text.
func watch(t *testing.T, b *bucket.Bucket) (told <-chan string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, done := make(chan string, 2000), make(chan error, 1)
	go func() {
		done <- b.Watch(ctx, func(key string, value []byte) {
			if value == nil {
				c <- key + " deleted"
				return
			}
			c <- key + "=" + string(value)
		}, func() { c <- "ready" })
	}()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return c, stop
}

func expect(t *testing.T, told <-chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-told:
			if got != w {
				t.Fatalf("the watch tells %q, want %q", got, w)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("the watch doesn't tell %q", w)
		}
	}
}

func TestAWatchTellsWhatThereIsAndThenWhatChanges(t *testing.T) {
	s := streamtest.Start(t)
	b, other := open(t, s.Connect()), open(t, s.Connect())
	empty, stop := watch(t, b)
	expect(t, empty, "ready")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("watch = %v, want the context's error", err)
	}
	put(t, b, "a", "1")
	put(t, b, "gone", "x")
	put(t, b, "b", "2")
	put(t, b, "a", "3")
	remove(t, b, "gone")
	told, _ := watch(t, other)
	expect(t, told, "b=2", "a=3", "ready")
	put(t, b, "c_-9", "")
	remove(t, b, "a")
	remove(t, b, "a")
	remove(t, b, "never")
	put(t, b, "a", "5")
	expect(t, told, "c_-9=", "a deleted", "a=5")
}

func TestAWatchSurvivesTheServersRestart(t *testing.T) {
	s := streamtest.Start(t)
	b := open(t, s.Connect())
	put(t, b, "a", "1")
	told, _ := watch(t, b)
	expect(t, told, "a=1", "ready")
	s.Restart()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := b.Put(t.Context(), "b", []byte("2"))
		if err == nil {
			break
		}
		if !errors.Is(err, journal.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	expect(t, told, "b=2")
	remove(t, b, "a")
	expect(t, told, "a deleted")
}

func TestABucketThatIsDeletedIsMadeAnew(t *testing.T) {
	js := streamtest.Start(t).Connect()
	b := open(t, js)
	put(t, b, "a", "1")
	told, _ := watch(t, b)
	expect(t, told, "a=1", "ready")
	if err := js.DeleteStream(t.Context(), "SILENCES"); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "a deleted")
	put(t, b, "b", "2")
	expect(t, told, "b=2")
}

func TestAWatchEndsWithTheConnection(t *testing.T) {
	js := streamtest.Start(t).Connect()
	b := open(t, js)
	ready, done := make(chan struct{}), make(chan error)
	go func() { done <- b.Watch(t.Context(), func(string, []byte) {}, func() { close(ready) }) }()
	<-ready
	js.Conn().Close()
	select {
	case err := <-done:
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("watch = %v, want ErrClosed", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the watch goes on")
	}
}

func TestReplaceNoticesThatSomebodyElseWasFaster(t *testing.T) {
	b := open(t, streamtest.Start(t).Connect())
	replace := func(value string, revision uint64) error {
		return b.Replace(t.Context(), "k", []byte(value), revision)
	}
	value, none, err := b.Get(t.Context(), "k")
	if value != nil || err != nil {
		t.Fatalf("get = %q, %v", value, err)
	}
	if err := replace("1", none); err != nil {
		t.Fatal(err)
	}
	if err := replace("2", none); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("replace = %v, want ErrChanged", err)
	}
	value, revision, err := b.Get(t.Context(), "k")
	if string(value) != "1" || err != nil {
		t.Errorf("get = %q, %v", value, err)
	}
	if err := replace("3", revision); err != nil {
		t.Error(err)
	}
	if err := replace("4", revision); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("replace = %v, want ErrChanged", err)
	}
	remove(t, b, "k")
	value, revision, err = b.Get(t.Context(), "k")
	if value != nil || err != nil {
		t.Errorf("get of a deleted record = %q, %v", value, err)
	}
	if err := replace("5", revision); err != nil {
		t.Error(err)
	}
}

func TestABucketIsBounded(t *testing.T) {
	b := open(t, streamtest.Start(t).Connect())
	for _, key := range []string{"", "a.b", "a b", "*", strings.Repeat("x", 65)} {
		if err := b.Put(t.Context(), key, nil); err == nil {
			t.Errorf("the key %q is taken", key)
		}
	}
	if err := b.Put(t.Context(), "large", make([]byte, journal.MaxRecord+1)); err == nil {
		t.Error("a record that is too large is taken")
	}
	largest := bytes.Repeat([]byte("x"), journal.MaxRecord)
	if err := b.Put(t.Context(), "0", largest); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	for i := 1; i < bucket.MaxRecords; i++ {
		put(t, b, fmt.Sprint(i), "x")
	}
	if err := b.Put(t.Context(), "more", []byte("x")); !errors.Is(err, bucket.ErrFull) {
		t.Errorf("one more: %v, want ErrFull", err)
	}
	put(t, b, "7", "y")
	if value, _, err := b.Get(t.Context(), "7"); string(value) != "y" || err != nil {
		t.Errorf("a record of a full bucket is %q, %v", value, err)
	}
}
