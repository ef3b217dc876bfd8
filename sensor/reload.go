package sensor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

const (
	// watchInterval is how often rules files are looked at.
	watchInterval = time.Second
	// settleTime is how long a reload waits for the event that is just being looked at.
	settleTime = 5 * time.Second
	// maxToldError is how much of an error an alert tells, in bytes.
	maxToldError = 2000
)

// ruleNotLoaded is the rule of the alert that tells of a reload that failed.
const ruleNotLoaded = "Saker internal: rules not loaded"

// watchRules loads rules and settings anew when somebody asks for it or a rules file has
// changed, until ctx ends.
func (s *sensor) watchRules(ctx context.Context, watcher *config.Watcher) {
	var tick <-chan time.Time
	if s.config.WatchFiles {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-tick:
			if !watcher.Changed() {
				continue
			}
		case <-s.Reload:
		case <-ctx.Done():
			return
		}
		if w := s.reload(); w != nil {
			watcher = w
		}
	}
}

// reload takes up rules and settings. When they are wrong everything stays as it is, and
// that is said. It returns the watcher of the files that were read.
func (s *sensor) reload() *config.Watcher {
	c, changed, err := s.current, []string(nil), error(nil)
	if s.Read != nil {
		c, changed, err = s.Read()
	}
	if err != nil {
		s.notLoaded(fmt.Errorf("read the configuration: %w", err))
		return nil
	}
	e, watcher, err := s.load(c)
	if err == nil {
		err = s.swap(e)
	}
	if err != nil {
		s.notLoaded(err)
		return watcher
	}
	s.current = c
	s.limiter.Configure(c.RuleLimit)
	s.counts.reloaded(time.Now())
	s.Log.Info("the rules have been loaded anew", "rules", e.enabledRules(s.sources()...), "kinds_of_event", len(e.interest.Kinds))
	s.sayWhatWaits(changed)
	return watcher
}

// sayWhatWaits names the settings that have changed and need a restart.
func (s *sensor) sayWhatWaits(changed []string) {
	var waiting []string
	for _, key := range changed {
		if !live(key) {
			waiting = append(waiting, key)
		}
	}
	if len(waiting) > 0 {
		s.Log.Warn("settings have changed that come into force with a restart only", "keys", waiting)
	}
}

// notLoaded says that the rules in force stay, and why.
func (s *sensor) notLoaded(err error) {
	s.counts.failed()
	s.Log.Error("rules and settings cannot be loaded anew; those in force stay", "error", err)
	// A file can have thousands of mistakes; the log has them all.
	text := err.Error()
	if len(text) > maxToldError {
		text = strings.ToValidUTF8(text[:maxToldError], "") + "…"
	}
	s.tell(event.Event{
		Output:   ruleNotLoaded + ". Those in force stay: " + text,
		Priority: event.Warning, Rule: ruleNotLoaded, Source: internalSource, Time: time.Now(),
		Fields: []event.Field{{Name: "error", Value: event.StringValue(text)}},
	})
}

// swap puts the rules of next in force. Until that is done the kernel reports what either
// set wants, so that no event is lost to both.
func (s *sensor) swap(next *engine) error {
	old := s.engine.Load()
	if s.probe != nil {
		if err := s.judging.change(either(old.interest, next.interest), nil); err != nil {
			return errors.Join(fmt.Errorf("tell the kernel what to report: %w", err), s.judging.change(old.interest, old.judge))
		}
	}
	s.engine.Store(next)
	s.settle()
	s.counts.retire(old)
	if s.probe != nil {
		if err := s.judging.change(next.interest, next.judge); err != nil {
			s.Log.Warn("the kernel goes on reporting more than the rules need", "error", err)
		}
	}
	return nil
}

// settle waits until nobody looks at an event with the rules before, or something hangs.
func (s *sensor) settle() {
	end := time.Now().Add(settleTime)
	for _, l := range s.loops {
		for at := l.count(); l.busyAt(at) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
}
