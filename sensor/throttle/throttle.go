// Package throttle limits how many alerts a rule may cause, so that a storm of one rule
// drowns neither the others nor whoever receives them.
//
// It stands between the rules and the report. Each rule has a token bucket of its own. What
// a full bucket would not let through is counted, and told later in one summary of the rule:
// nothing is left out in silence.
//
//	rules ── Allow ──┬─ yes ── report
//	                 └─ no ─── counted ── Due ── summary ── report
//
// What a Limiter holds is bounded by the rules that have matched since the summary before
// the last: a rule whose bucket is full again and that has nothing to tell is forgotten.
package throttle

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/rules/match"
)

// Config is the section "rule_limit".
type Config struct {
	Rate      float64       `key:"rate" default:"100" doc:"Alerts a second that one rule may cause for long; 0 for no limit."`
	Burst     int           `key:"burst" default:"1000" doc:"Alerts that one rule may cause at once, before the rate applies."`
	Summary   time.Duration `key:"summary_interval" default:"60s" unit:"s" doc:"How often an alert of the rule tells how many were left out."`
	Overrides []Override    `key:"overrides" doc:"Other limits for some rules. The first entry that fits a rule counts."`
}

// Override is another limit for the rules that it names by one of its keys.
type Override struct {
	Rule  string  `key:"rule" doc:"Name of the rules, in which * stands for anything."`
	Tag   string  `key:"tag" doc:"Tag of the rules."`
	Rate  float64 `key:"rate" default:"0" doc:"Alerts a second; 0 for no limit."`
	Burst int     `key:"burst" default:"1" doc:"Alerts at once."`
}

// minSummary keeps summaries from becoming the storm that they are about.
const minSummary = time.Second

// Validate reports limits that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Rate < 0 {
		errs = append(errs, config.At("rate", errors.New("must not be negative")))
	}
	if c.Rate > 0 && c.Burst < 1 {
		errs = append(errs, config.At("burst", errors.New("must be at least 1")))
	}
	if c.Rate > 0 && c.Summary < minSummary {
		errs = append(errs, config.At("summary_interval", fmt.Errorf("must be at least %v", minSummary)))
	}
	for i, o := range c.Overrides {
		switch {
		case (o.Rule == "") == (o.Tag == ""):
			errs = append(errs, config.At("overrides", fmt.Errorf("entry %d must name either a rule or a tag", i+1)))
		case o.Rate < 0 || o.Rate > 0 && o.Burst < 1:
			errs = append(errs, config.At("overrides", fmt.Errorf("entry %d needs a rate of 0 or more and a burst of at least 1", i+1)))
		}
	}
	return errors.Join(errs...)
}

// Rule is what a Limiter has to know of a rule.
type Rule struct {
	Name, Source string
	Priority     event.Priority
	Tags         []string
}

// Summary says what was left out of one rule's alerts.
type Summary struct {
	Rule Rule
	// Count is how many, First and Last when the first and the last of them happened.
	Count       uint64
	First, Last time.Time
}

type key struct{ source, name string }

// bucket is the state of one rule. A nil limiter lets everything through.
type bucket struct {
	limiter *rate.Limiter
	summary Summary
}

// Limiter decides about alerts. It is safe for concurrent use.
type Limiter struct {
	mu      sync.Mutex
	config  Config
	buckets map[key]*bucket
	total   uint64
}

// New returns a Limiter.
func New(c Config) *Limiter {
	return &Limiter{config: c, buckets: map[key]*bucket{}}
}

// Configure changes the limits. All buckets are full again; what is still to be told stays.
func (l *Limiter) Configure(c Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = c
	for _, b := range l.buckets {
		b.limiter = c.limiter(b.summary.Rule)
	}
}

// limiter returns a full bucket for a rule, nil for none.
func (c Config) limiter(r Rule) *rate.Limiter {
	perSecond, burst := c.Rate, c.Burst
	for _, o := range c.Overrides {
		if o.fits(r) {
			perSecond, burst = o.Rate, o.Burst
			break
		}
	}
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

func (o Override) fits(r Rule) bool {
	if o.Tag != "" {
		return slices.Contains(r.Tags, o.Tag)
	}
	return match.Wildcard(o.Rule, r.Name)
}

// Allow reports whether an alert of the rule, about something that happened at the given
// time, may go out now. It counts those that may not.
func (l *Limiter) Allow(r Rule, now, happened time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := key{r.Source, r.Name}
	b := l.buckets[k]
	if b == nil {
		b = &bucket{limiter: l.config.limiter(r)}
		l.buckets[k] = b
	}
	b.summary.Rule = r
	if b.limiter == nil || b.limiter.AllowN(now, 1) {
		return true
	}
	s := &b.summary
	if s.Count == 0 {
		s.First = happened
	}
	s.Last = happened
	s.Count++
	l.total++
	return false
}

// Due returns what was left out since the call before, by source and name of the rule. It
// is to be called about every Interval.
func (l *Limiter) Due(now time.Time) []Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []Summary
	for k, b := range l.buckets {
		if b.summary.Count > 0 {
			due = append(due, b.summary)
			b.summary = Summary{Rule: b.summary.Rule}
			continue
		}
		if b.limiter == nil || b.limiter.TokensAt(now) >= float64(b.limiter.Burst()) {
			delete(l.buckets, k)
		}
	}
	slices.SortFunc(due, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(a.Rule.Source, b.Rule.Source), cmp.Compare(a.Rule.Name, b.Rule.Name))
	})
	return due
}

// Interval is how often Due is to be called.
func (l *Limiter) Interval() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(cmp.Or(l.config.Summary, time.Minute), minSummary)
}

// Total is how many alerts were left out since the start.
func (l *Limiter) Total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
