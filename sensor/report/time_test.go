package report

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/event"
)

// roundTrip stands for the network, which fake time can't wait for.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answer(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader("")),
	}
}

// inFakeTime runs a reporter with the given network while body runs.
func inFakeTime(t *testing.T, c func(*Config), network roundTrip, body func(t *testing.T, r *Reporter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t, "http://forwarder")
		if c != nil {
			c(&cfg)
		}
		r, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		r.http.poster.client.Transport = network
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		body(t, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPausesGrowAndAreJittered(t *testing.T) {
	var at []time.Time
	inFakeTime(t, nil, func(*http.Request) (*http.Response, error) {
		at = append(at, time.Now())
		if len(at) < 12 {
			return nil, errors.New("refused")
		}
		return answer(http.StatusOK), nil
	}, func(_ *testing.T, r *Reporter) {
		r.Report(alertNumber(0))
		time.Sleep(time.Hour)
	})
	if len(at) != 12 {
		t.Fatalf("%d attempts in an hour", len(at))
	}
	for i := 1; i < len(at); i++ {
		pause, most := at[i].Sub(at[i-1]), min(maxPause, minPause<<(i-1))
		if pause < most/2 || pause > most {
			t.Errorf("pause %d lasts %v, want %v to %v", i, pause, most/2, most)
		}
	}
}

func TestTheReceiverIsLeftAloneAsLongAsItAsks(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"40":    40 * time.Second,
		"86400": maxRetryAfter,
		"date":  time.Minute,
		"soon":  0,
	} {
		t.Run(header, func(t *testing.T) {
			var at []time.Time
			inFakeTime(t, nil, func(*http.Request) (*http.Response, error) {
				at = append(at, time.Now())
				if len(at) > 1 {
					return answer(http.StatusOK), nil
				}
				value := header
				if header == "date" {
					value = time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
				}
				return answer(http.StatusTooManyRequests, "Retry-After", value), nil
			}, func(_ *testing.T, r *Reporter) {
				r.Report(alertNumber(0))
				time.Sleep(time.Hour)
			})
			if len(at) != 2 {
				t.Fatalf("%d attempts", len(at))
			}
			if got := at[1].Sub(at[0]); got < want || got > want+minPause {
				t.Errorf("the second attempt comes after %v, want %v", got, want)
			}
		})
	}
}

func TestAlertsBehindASlowAttemptGoToDisk(t *testing.T) {
	spool := t.TempDir()
	inFakeTime(t, func(c *Config) {
		c.Spool.Dir, c.Spool.MaxBytes = spool, minSpoolBytes
	}, func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(3 * time.Second):
			return answer(http.StatusOK), nil
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}, func(t *testing.T, r *Reporter) {
		for n := range 5 {
			r.Report(alertNumber(n))
		}
		time.Sleep(slowAttempt - time.Millisecond)
		synctest.Wait()
		if s := r.Stats(); s.SpoolAlerts != 0 || s.Queued != 5 {
			t.Errorf("before: %+v", s)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if s := r.Stats(); s.SpoolAlerts != 5 || s.Queued != 0 {
			t.Errorf("after: %+v", s)
		}
		time.Sleep(time.Minute)
		if s := r.Stats(); s.SpoolAlerts != 0 || s.Sent[SinkHTTP] != 5 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

func TestTheForwarderIsToldOfDropsOnceAMinuteAndNotOfTheTellingItself(t *testing.T) {
	var told []int
	inFakeTime(t, nil, func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(body)
		if err != nil {
			return nil, err
		}
		if e.Rule == ruleDropped {
			total, _ := e.Field("dropped.total")
			n, err := strconv.Atoi(total.Text())
			if err != nil {
				return nil, err
			}
			told = append(told, n)
		}
		return answer(http.StatusBadRequest), nil
	}, func(t *testing.T, r *Reporter) {
		for n := range 3 {
			r.Report(alertNumber(n))
		}
		time.Sleep(time.Second)
		for n := range 2 {
			r.Report(alertNumber(n))
			time.Sleep(noticeEvery / 4)
		}
		time.Sleep(time.Hour)
		if s := r.Stats(); s.Dropped[Drop{SinkHTTP, dropRejected}] != 7 {
			t.Errorf("stats are %+v", s)
		}
	})
	if len(told) != 2 || told[0]+told[1] != 5 {
		t.Errorf("the forwarder is told of %v", told)
	}
}

func TestWithoutASpoolTheOldestInMemoryAreDropped(t *testing.T) {
	var up atomic.Bool
	var rules []string
	inFakeTime(t, nil, func(req *http.Request) (*http.Response, error) {
		if !up.Load() {
			return nil, errors.New("refused")
		}
		var e event.Event
		body, err := io.ReadAll(req.Body)
		if err == nil {
			e, err = event.Decode(body)
		}
		rules = append(rules, e.Rule)
		return answer(http.StatusOK), err
	}, func(t *testing.T, r *Reporter) {
		const many = maxMemoryEntries + 100
		for n := range many {
			r.Report(alertNumber(n))
			if n%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if s := r.Stats(); s.Queued != maxMemoryEntries || s.Dropped[Drop{SinkHTTP, dropMemoryFull}] != 100 {
			t.Errorf("stats are %+v", s)
		}
		up.Store(true)
		time.Sleep(time.Hour)
	})
	// The first is in flight when it is dropped, and so comes all the same.
	if len(rules) != maxMemoryEntries+2 || rules[1] != "rule 100" || rules[len(rules)-1] != ruleDropped {
		t.Errorf("%d alerts come, the second is %q, the last %q", len(rules), rules[1], rules[len(rules)-1])
	}
}

func TestWhatWasReportedBeforeTheEndIsStillDelivered(t *testing.T) {
	for range 20 {
		sent := 0
		inFakeTime(t, nil, func(*http.Request) (*http.Response, error) {
			sent++
			time.Sleep(10 * time.Millisecond)
			return answer(http.StatusOK), nil
		}, func(_ *testing.T, r *Reporter) {
			synctest.Wait() // everything is idle
			for n := range 5 {
				r.Report(alertNumber(n))
			}
		})
		if sent != 5 {
			t.Fatalf("%d of 5 are sent", sent)
		}
	}
}

func TestTheEndComesInTimeWhateverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t, "http://forwarder")
		cfg.Stdout.Enabled = true
		reader, writer := io.Pipe() // nobody reads
		r, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler), Stdout: writer})
		if err != nil {
			t.Fatal(err)
		}
		r.http.poster.client.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		r.Report(alertNumber(0))
		began := time.Now()
		cancel()
		if err := r.Run(ctx); !errors.Is(err, errHangs) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		_ = reader.Close() // lets the write end
	})
}
