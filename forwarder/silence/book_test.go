package silence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a bucket in memory whose watches can be made to fail.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	log     []change
	wake    chan struct{}
	// broken ends all watches and lets none begin; full refuses to store.
	broken, full bool
	watches      int
}

type change struct {
	key   string
	value []byte
}

func newMemory() *memory {
	return &memory{records: map[string][]byte{}, wake: make(chan struct{})}
}

func (m *memory) update(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.wake)
	m.wake = make(chan struct{})
}

func (m *memory) Put(_ context.Context, key string, value []byte) error {
	if m.full {
		return errors.New("the disk is full")
	}
	m.update(func() { m.records[key] = value; m.log = append(m.log, change{key, value}) })
	return nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.update(func() { delete(m.records, key); m.log = append(m.log, change{key, nil}) })
	return nil
}

func (m *memory) setBroken(broken bool) { m.update(func() { m.broken = broken }) }

func (m *memory) Watch(ctx context.Context, changed func(string, []byte), ready func()) error {
	m.mu.Lock()
	m.watches++
	records, at, broken := maps.Clone(m.records), len(m.log), m.broken
	m.mu.Unlock()
	if broken {
		return errors.New("the server is away")
	}
	for key, value := range records {
		changed(key, value)
	}
	ready()
	for {
		m.mu.Lock()
		news, wake, broken := m.log[at:], m.wake, m.broken
		m.mu.Unlock()
		if broken {
			return errors.New("the server went away")
		}
		for _, c := range news {
			changed(c.key, c.value)
		}
		at += len(news)
		if len(news) > 0 {
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run makes a Book of the bucket and runs it until the test ends.
func run(t *testing.T, bucket *memory, log *slog.Logger) *Book {
	t.Helper()
	b := New(bucket, log)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

func ready(t *testing.T, bucket *memory) *Book {
	t.Helper()
	b := run(t, bucket, slog.New(slog.DiscardHandler))
	<-b.Synced()
	return b
}

// forRule is a silence of one rule that ends in d.
func forRule(rule string, d time.Duration) Silence {
	return Silence{
		Matchers: []Matcher{{"rule", "=", rule}}, EndsAt: time.Now().Add(d),
		Author: "ada", Comment: "maintenance",
	}
}

func add(t *testing.T, b *Book, s Silence) Silence {
	t.Helper()
	s, err := b.Add(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// silenced asks b about an event of a rule, now.
func silenced(b *Book, rule string) bool {
	_, ok := b.Silenced(&event.Event{Rule: rule}, time.Now())
	return ok
}

func TestASilenceCountsFromItsStartToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		s := forRule("r", 3*time.Hour)
		s.StartsAt = time.Now().Add(time.Hour)
		s = add(t, b, s)
		for _, c := range []struct {
			at    time.Duration
			state State
			want  bool
		}{
			{0, Pending, false},
			{time.Hour - 1, Pending, false},
			{time.Hour, Active, true},
			{3*time.Hour - 1, Active, true},
			{3 * time.Hour, Expired, false},
		} {
			now := time.Now().Add(c.at)
			if _, ok := b.Silenced(&event.Event{Rule: "r"}, now); ok != c.want {
				t.Errorf("after %v: silenced is %v", c.at, ok)
			}
			if got := s.State(now); got != c.state {
				t.Errorf("after %v: the state is %v, want %v", c.at, got, c.state)
			}
		}
		if silenced(b, "other") {
			t.Error("another rule is silenced")
		}
	})
}

func TestAllMatchersMustHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		s := forRule("Terminal shell in container", time.Hour)
		s.Matchers = append(s.Matchers, Matcher{"k8s.ns.name", "=~", "dev-.*"})
		add(t, b, s)
		e := shell()
		if _, ok := b.Silenced(e, time.Now()); !ok {
			t.Error("the event is not silenced")
		}
		other := e.WithFields(event.Field{Name: "k8s.ns.name", Value: event.StringValue("prod")})
		if _, ok := b.Silenced(&other, time.Now()); ok {
			t.Error("an event of another namespace is silenced")
		}
	})
}

func TestASilenceIsFoundByAnyPartItAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, text := range []string{
			`rule="Terminal shell in container"`, `hostname=node-1`, `k8s.ns.name=dev-7`, `tag=container`, `tag=shell`,
			`source=syscall`, `priority=warning`, `proc.pid=1234`, `hostname=~"node.*"`, `tag=~"sh.*"`, `k8s.ns.name!=""`,
		} {
			b := ready(t, newMemory())
			// Some that are found the same way and do not match.
			add(t, b, forRule("other", time.Hour))
			for _, name := range []string{"hostname", "k8s.ns.name", "tag", "source"} {
				s := forRule("", time.Hour)
				s.Matchers = []Matcher{{name, "=", "other"}}
				add(t, b, s)
			}
			m, err := ParseMatcher(text)
			if err != nil {
				t.Fatal(err)
			}
			s := forRule("", time.Hour)
			s.Matchers = []Matcher{m}
			s = add(t, b, s)
			if id, ok := b.Silenced(shell(), time.Now()); !ok || id != s.ID {
				t.Errorf("%s: %q, %v, want %q", text, id, ok, s.ID)
			}
		}
	})
}

func TestWhatCannotBeASilenceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		for _, c := range []struct {
			name   string
			change func(*Silence)
			want   string
		}{
			{"no matcher", func(s *Silence) { s.Matchers = nil }, "a silence needs at least one matcher"},
			{"a matcher of everything", func(s *Silence) { s.Matchers = []Matcher{{"rule", "=~", ".*"}} }, "at least one matcher must ask for something that an event has: these match the empty value too, or any value"},
			{"too many matchers", func(s *Silence) {
				s.Matchers = nil
				for range 17 {
					s.Matchers = append(s.Matchers, Matcher{"rule", "=", "r"})
				}
			}, "a silence has at most 16 matchers, not 17"},
			{"an operator that is none", func(s *Silence) { s.Matchers[0].Op = "<" }, `matcher rule<"r": the operator must be one of = != =~ !~, not "<"`},
			{"no end", func(s *Silence) { s.EndsAt = time.Time{} }, "a silence needs an end"},
			{"an end before the start", func(s *Silence) { s.StartsAt = s.EndsAt.Add(1) }, "a silence must end after it starts"},
			{"an end that is past", func(s *Silence) { s.EndsAt = time.Now().Add(-1) }, "a silence must end after it starts\na silence must not have ended already"},
			{"more than a year", func(s *Silence) { s.EndsAt = time.Now().Add(367 * 24 * time.Hour) }, "a silence lasts at most 366 days"},
			{"no author", func(s *Silence) { s.Author = "" }, "a silence needs an author"},
			{"no comment", func(s *Silence) { s.Comment = "" }, "a silence needs a comment that says why"},
			{"a long author", func(s *Silence) { s.Author = strings.Repeat("a", 129) }, "the author must be text of at most 128 bytes"},
			{"a long comment", func(s *Silence) { s.Comment = strings.Repeat("a", 1025) }, "the comment must be text of at most 1024 bytes"},
			{"a comment that is no text", func(s *Silence) { s.Comment = "\xff" }, "the comment must be text of at most 1024 bytes"},
			{"a large record", func(s *Silence) {
				s.Matchers = nil
				for range 16 {
					s.Matchers = append(s.Matchers, Matcher{"rule", "=", strings.Repeat("<", 1024)})
				}
			}, "a silence must not be larger than 65536 bytes"},
		} {
			s := forRule("r", time.Hour)
			c.change(&s)
			_, err := b.Add(t.Context(), s)
			if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Error() != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		}
		if n := len(b.List(time.Now())); n != 0 {
			t.Errorf("%d silences have been stored", n)
		}
	})
}

func TestASilenceCanBeChangedUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		first := add(t, b, forRule("r", time.Hour))
		if first.ID == "" || !first.StartsAt.Equal(time.Now()) || !first.UpdatedAt.Equal(time.Now()) {
			t.Fatalf("it is stored as %+v", first)
		}
		silenced(b, "r")
		time.Sleep(time.Minute)

		change := first
		change.Matchers, change.EndsAt, change.StartsAt = []Matcher{{"rule", "=", "q"}}, time.Now().Add(2*time.Hour), time.Time{}
		second := add(t, b, change)
		if !second.StartsAt.Equal(first.StartsAt) {
			t.Errorf("the start of an active silence has become %v", second.StartsAt)
		}
		if silenced(b, "r") || !silenced(b, "q") {
			t.Error("the change doesn't count")
		}
		got, err := b.Get(first.ID, time.Now())
		if want := (Status{second, Active, 2}); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}

		expired, err := b.Expire(t.Context(), first.ID)
		if err != nil || expired.State(time.Now()) != Expired {
			t.Fatalf("%+v, %v", expired, err)
		}
		if silenced(b, "q") {
			t.Error("it counts after it has expired")
		}
		if _, err := b.Expire(t.Context(), first.ID); !errors.Is(err, ErrExpired) {
			t.Errorf("to expire it again: %v", err)
		}
		if _, err := b.Add(t.Context(), second); !errors.Is(err, ErrExpired) {
			t.Errorf("to change it now: %v", err)
		}
		second.ID = "unknown"
		if _, err := b.Add(t.Context(), second); !errors.Is(err, ErrNotFound) {
			t.Errorf("to change one that isn't there: %v", err)
		}
		for _, id := range []string{"", "unknown"} {
			if _, err := b.Expire(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Errorf("to expire %q: %v", id, err)
			}
		}
	})
}

func TestAPendingSilenceCanBeExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		s := forRule("r", 2*time.Hour)
		s.StartsAt = time.Now().Add(time.Hour)
		s = add(t, b, s)
		if _, err := b.Expire(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		if silenced(b, "r") {
			t.Error("it counts")
		}
	})
}

func TestSilencesAreListedByWhatMattersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		pending := func(rule string, start time.Duration) {
			s := forRule(rule, 10*time.Hour)
			s.StartsAt = time.Now().Add(start)
			add(t, b, s)
		}
		add(t, b, forRule("expired first", time.Minute))
		add(t, b, forRule("expired last", 2*time.Minute))
		time.Sleep(3 * time.Minute)
		pending("starts later", 2*time.Hour)
		pending("starts soon", time.Hour)
		add(t, b, forRule("ends later", 2*time.Hour))
		add(t, b, forRule("ends soon", time.Hour))
		var got []string
		for _, s := range b.List(time.Now()) {
			got = append(got, string(s.State)+": "+s.Matchers[0].Value)
		}
		want := []string{
			"active: ends soon", "active: ends later", "pending: starts soon", "pending: starts later",
			"expired: expired last", "expired: expired first",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTwoBooksOfABucketKnowTheSameSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		one, two := ready(t, bucket), ready(t, bucket)
		s := add(t, one, forRule("r", time.Hour))
		synctest.Wait()
		if !silenced(two, "r") {
			t.Error("the other Book doesn't know the silence")
		}
		if _, err := two.Expire(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if silenced(one, "r") {
			t.Error("the first Book doesn't know that it has expired")
		}
		if diff := cmp.Diff(one.List(time.Now())[0].Silence, two.List(time.Now())[0].Silence); diff != "" {
			t.Error(diff)
		}
	})
}

func TestABucketThatIsAwayIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		var log strings.Builder
		text := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		other := ready(t, bucket)
		kept, gone := add(t, other, forRule("kept", 24*time.Hour)), add(t, other, forRule("gone", 24*time.Hour))
		b := run(t, bucket, slog.New(text))
		<-b.Synced()

		bucket.setBroken(true)
		synctest.Wait()
		if !silenced(b, "kept") || !silenced(b, "gone") {
			t.Error("what was known no longer counts")
		}
		time.Sleep(time.Hour)
		bucket.mu.Lock()
		watches := bucket.watches
		delete(bucket.records, gone.ID)
		bucket.mu.Unlock()
		if watches < 60 || watches > 1000 {
			t.Errorf("there were %d attempts in an hour", watches)
		}
		bucket.setBroken(false)
		time.Sleep(lastPause)
		synctest.Wait()
		if !silenced(b, "kept") || silenced(b, "gone") {
			t.Error("what was deleted meanwhile still counts, or what was not doesn't")
		}
		if _, err := b.Expire(t.Context(), kept.ID); err != nil {
			t.Error(err)
		}
		want := `level=WARN msg="the silences cannot be followed: those known keep counting, changes are seen later" error="the server went away"
level=INFO msg="the silences are followed again"
`
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNothingIsSilencedOrChangedBeforeTheSilencesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		add(t, ready(t, bucket), forRule("r", time.Hour))
		bucket.setBroken(true)
		b := run(t, bucket, slog.New(slog.DiscardHandler))
		synctest.Wait()
		if silenced(b, "r") {
			t.Error("a silence counts that cannot be known")
		}
		select {
		case <-b.Synced():
			t.Error("the Book calls itself synced")
		default:
		}
		if _, err := b.Add(t.Context(), forRule("r", time.Hour)); !errors.Is(err, ErrNotReady) {
			t.Errorf("Add: %v", err)
		}
		bucket.setBroken(false)
		<-b.Synced()
		if !silenced(b, "r") {
			t.Error("the silence doesn't count")
		}
	})
}

func TestASilenceThatCannotBeStoredIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		b := ready(t, bucket)
		bucket.full = true
		_, err := b.Add(t.Context(), forRule("r", time.Hour))
		if err == nil || err.Error() != "store a silence: the disk is full" {
			t.Errorf("%v", err)
		}
		if silenced(b, "r") {
			t.Error("it counts all the same")
		}
	})
}

func TestAddReturnsThoughTheBucketDoesNotAnswerWithTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		b := ready(t, bucket)
		bucket.setBroken(true)
		synctest.Wait()
		began := time.Now()
		add(t, b, forRule("r", time.Hour))
		if took := time.Since(began); took != echoWait {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnUnreadableRecordIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		valid := `{"id":"ID","matchers":[{"name":"rule","op":"=","value":"r"}],"startsAt":"2000-01-01T00:00:00Z","endsAt":"2001-01-01T00:00:00Z"}`
		for key, record := range map[string]string{
			"a": `{`, "b": strings.Replace(valid, "ID", "other", 1), "c": `{"id":"c"}`,
			"d": `{"id":"d","matchers":[{"name":"rule","op":"=~","value":"("}]}`,
			"e": strings.Replace(valid, "ID", "e", 1),
		} {
			if err := bucket.Put(t.Context(), key, []byte(record)); err != nil {
				t.Fatal(err)
			}
		}
		list := ready(t, bucket).List(time.Now())
		if len(list) != 1 || list[0].ID != "e" {
			t.Errorf("%+v", list)
		}
	})
}

func TestOldSilencesAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		b := ready(t, bucket)
		add(t, b, forRule("r", time.Hour))
		time.Sleep(Retention)
		if n := len(b.List(time.Now())); n != 1 {
			t.Errorf("there are %d silences before the retention is over", n)
		}
		time.Sleep(2*time.Hour + sweepEvery)
		synctest.Wait()
		if n := len(b.List(time.Now())); n != 0 {
			t.Errorf("there are %d silences after it", n)
		}
		if len(bucket.records) != 0 {
			t.Error("the record is still there")
		}
	})
}

func TestTheNumberOfSilencesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		first := add(t, b, forRule("first", time.Minute))
		add(t, b, forRule("second", 2*time.Minute))
		for i := range Max - 2 {
			add(t, b, forRule(fmt.Sprint("r", i), time.Hour))
		}
		if _, err := b.Add(t.Context(), forRule("more", time.Hour)); !errors.Is(err, ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		if _, err := b.Add(t.Context(), first); err != nil {
			t.Errorf("to change one that is there: %v", err)
		}
		time.Sleep(5 * time.Minute)
		add(t, b, forRule("more", time.Hour))
		list := b.List(time.Now())
		if len(list) != Max || list[Max-1].Matchers[0].Value != "second" {
			t.Errorf("there are %d silences, the last is %+v", len(list), list[len(list)-1])
		}
	})
}

func TestWhySilencedNamesTheSilenceAndCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ready(t, newMemory())
		s := add(t, b, forRule("r", time.Hour))
		why, ok := b.WhySilenced(&event.Event{Rule: "r"}, time.Now())
		want := "silence " + s.ID + ` of ada holds it back until 2000-01-01T01:00:00Z: "maintenance"`
		if !ok || why != want {
			t.Errorf("got  %s\nwant %s", why, want)
		}
		if got, err := b.Get(s.ID, time.Now()); err != nil || got.HeldBack != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, ok := b.WhySilenced(&event.Event{Rule: "q"}, time.Now()); ok {
			t.Error("another rule is silenced")
		}
	})
}

func TestEventsAreAskedAboutWhileSilencesChange(t *testing.T) {
	bucket := newMemory()
	b := ready(t, bucket)
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					b.Silenced(shell(), time.Now())
					b.List(time.Now())
				}
			}
		})
	}
	for i := range 50 {
		s := add(t, b, forRule(fmt.Sprint("r", i), time.Hour))
		if !silenced(b, fmt.Sprint("r", i)) {
			t.Errorf("silence %d doesn't count once it is added", i)
		}
		if _, err := b.Expire(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	asking.Wait()
}
