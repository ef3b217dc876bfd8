package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/silence"
)

// store is a journal in memory, with what is stored for single outputs.
type store struct {
	mu      sync.Mutex
	entries []journal.Entry
	letters map[uint64]journal.DeadLetter
	// stored are the UUIDs that each output was given, calls the names they were given by.
	stored map[string][]string
	calls  map[string]bool
	// fail is returned by AppendFor, after failAfter good calls; failDrop by Drop.
	fail, failDrop error
	failAfter      int
	// appended is called within each AppendFor.
	appended func()
	// short makes List return at most that many letters.
	short int
}

func newStore() *store {
	return &store{letters: map[uint64]journal.DeadLetter{}, stored: map[string][]string{}, calls: map[string]bool{}}
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// add appends events that were stored a minute apart, the first at from.
func (s *store) add(n int, from time.Time) {
	for i := range n {
		place := len(s.entries) + 1
		s.entries = append(s.entries, journal.Entry{
			Sequence: uint64(place), Stored: from.Add(time.Duration(i) * time.Minute),
			Event: event.Event{UUID: uuidOf(place), Rule: fmt.Sprintf("rule %d", place%2), Priority: event.Warning, Time: from},
		})
	}
}

// bury adds a dead letter of an output.
func (s *store) bury(id uint64, output string, given time.Time) {
	s.letters[id] = journal.DeadLetter{
		ID: id, Output: output, Event: event.Event{UUID: uuidOf(int(id)), Rule: "r", Priority: event.Error, Output: "text", Time: given},
		Sequence: id, Stored: given, Attempts: 3, FirstError: "first", LastError: "last", Time: given,
	}
}

func (s *store) AppendFor(ctx context.Context, output, call string, events []event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.appended != nil {
		s.appended()
	}
	if s.fail != nil {
		if s.failAfter == 0 {
			return s.fail
		}
		s.failAfter--
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.calls[output+" "+call] {
		return nil
	}
	s.calls[output+" "+call] = true
	for _, e := range events {
		s.stored[output] = append(s.stored[output], e.UUID)
	}
	return nil
}

func (s *store) given(output string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stored[output])
}

func (s *store) Stats(context.Context) (journal.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := journal.Stats{Events: uint64(len(s.entries)), Last: uint64(len(s.entries)), DeadLetters: map[string]uint64{}}
	if len(s.entries) > 0 {
		stats.Oldest = s.entries[0].Stored
	}
	for _, d := range s.letters {
		stats.DeadLetters[d.Output]++
	}
	return stats, nil
}

func (s *store) Recent(_ context.Context, n int) ([]journal.Entry, error) {
	return s.entries[max(0, len(s.entries)-n):], nil
}

func (s *store) Tail(_ context.Context, from journal.From) (journal.Tail, error) {
	t := &memoryTail{}
	for _, e := range s.entries {
		if from.After > 0 && e.Sequence > from.After || from.After == 0 && !e.Stored.Before(from.Since) {
			t.entries = append(t.entries, e)
		}
	}
	return t, nil
}

type memoryTail struct{ entries []journal.Entry }

func (t *memoryTail) Next(ctx context.Context) (journal.Entry, error) {
	if len(t.entries) == 0 {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return journal.Entry{}, ctx.Err()
	}
	e := t.entries[0]
	t.entries = t.entries[1:]
	return e, nil
}

func (*memoryTail) Close() {}

func (s *store) DeadLetters() journal.DeadLetters { return (*letters)(s) }

type letters store

func (l *letters) List(_ context.Context, q journal.DeadLetterQuery) ([]journal.DeadLetter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var page []journal.DeadLetter
	for _, id := range slices.Sorted(maps.Keys(l.letters)) {
		if id > q.After && (q.Output == "" || l.letters[id].Output == q.Output) {
			page = append(page, l.letters[id])
		}
	}
	return page[:min(len(page), q.Limit, cmp.Or(l.short, q.Limit))], nil
}

func (l *letters) Get(_ context.Context, id uint64) (journal.DeadLetter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.letters[id]
	if !ok {
		return d, fmt.Errorf("dead letter %d: %w", id, journal.ErrNotFound)
	}
	return d, nil
}

func (l *letters) Drop(_ context.Context, id uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failDrop != nil {
		return l.failDrop
	}
	if _, ok := l.letters[id]; !ok {
		return journal.ErrNotFound
	}
	delete(l.letters, id)
	return nil
}

// bucket holds silences in memory.
type bucket struct {
	mu      sync.Mutex
	records map[string][]byte
	changes chan string
}

func (b *bucket) Put(_ context.Context, key string, value []byte) error {
	b.mu.Lock()
	b.records[key] = bytes.Clone(value)
	b.mu.Unlock()
	b.changes <- key
	return nil
}

func (b *bucket) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	delete(b.records, key)
	b.mu.Unlock()
	b.changes <- key
	return nil
}

func (b *bucket) Watch(ctx context.Context, changed func(string, []byte), ready func()) error {
	ready()
	for {
		select {
		case key := <-b.changes:
			b.mu.Lock()
			value := b.records[key]
			b.mu.Unlock()
			changed(key, value)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// book is a real Book of silences that runs until the test ends.
func book(t *testing.T) *silence.Book {
	t.Helper()
	b := silence.New(&bucket{records: map[string][]byte{}, changes: make(chan string, 100)}, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { _ = b.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wait.Wait()
	})
	<-b.Synced()
	return b
}

// operated serves an API over a store, with the outputs slack and alertmanager@a:9093, and
// returns what it logs.
func operated(t *testing.T, s *store, change func(*Options)) (*httptest.Server, *logged) {
	t.Helper()
	log := &logged{}
	return serve(t, newMemory(0), func(o *Options) {
		o.Journal, o.Silences = s, book(t)
		o.Outputs = func() []Output { return []Output{{Name: "slack"}, {Name: "alertmanager@a:9093"}} }
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		if change != nil {
			change(o)
		}
	}), log
}

// logged is a log in memory.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// ask makes a request with a JSON body, and fails the test when the status isn't the one
// that is wanted. The answer is decoded into v, if there is one, and returned as text.
func ask(t *testing.T, server *httptest.Server, method, path, body string, status int, v any, header ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s %s: %d, want %d: %s", method, path, body, resp.StatusCode, status, text)
	}
	if status >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: the content type is %q", method, path, resp.Header.Get("Content-Type"))
	}
	if status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s: no Retry-After", method, path)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return string(text)
}
