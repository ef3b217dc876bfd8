package forwarder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/logs"
)

const (
	// lookEvery is how often the files of the configuration are looked at.
	lookEvery = time.Second
	// reloadRetry is how often a configuration that could not be taken up is tried again,
	// though its files have not changed: what it lacks, such as the file of a new secret,
	// may come later.
	reloadRetry = 30 * time.Second
)

// reloads keeps what became of the configuration since the start.
type reloads struct {
	mu    sync.Mutex
	state api.Configuration
}

// get returns what became of the configuration so far.
func (r *reloads) get() api.Configuration {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.NeedRestart = slices.Clone(s.NeedRestart)
	return s
}

// failed notes why a configuration could not be taken up, and reports whether that is news.
func (r *reloads) failed(err error, now time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.state.Error != err.Error()
	r.state.Error, r.state.FailedAt = err.Error(), now
	return news
}

// done notes that a configuration is in force but for some keys, and reports whether those
// keys are news.
func (r *reloads) done(needRestart []string, now time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = !slices.Equal(r.state.NeedRestart, needRestart)
	r.state = api.Configuration{InForce: now, NeedRestart: needRestart}
	return news
}

// followConfig takes up the configuration anew, one at a time, whenever its files have
// changed or somebody asks for it, until ctx ends. Outputs run until delivering ends; one
// that breaks is told to fail.
func (f *forwarder) followConfig(ctx, delivering context.Context, fail func(error)) {
	if f.Reload == nil {
		return
	}
	watch := f.Source.Watch()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var failedAt time.Time // zero while the last one is in force
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.ReloadNow:
			f.Log.Info("the configuration is read again, as asked")
			failedAt = time.Time{} // so that the answer is logged
		case <-look.C:
			if !watch.Changed() && (failedAt.IsZero() || time.Since(failedAt) < reloadRetry) {
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err := f.reload(ctx, delivering, fail); err != nil {
			f.reloadFailed(err, failedAt.IsZero())
			failedAt = time.Now()
			continue
		}
		failedAt = time.Time{}
		watch = f.live.Load().Source.Watch()
	}
}

// reload reads the configuration, builds all that is new in it, and then puts it into
// force. After an error everything is as it was.
func (f *forwarder) reload(ctx, delivering context.Context, fail func(error)) error {
	now := f.live.Load()
	if err := now.Source.Rereadable(); err != nil {
		return err
	}
	next, err := f.Reload()
	if err != nil {
		return err
	}
	x, err := newFront(next.Config, f.AuditJudge)
	if err != nil {
		return err
	}
	p, err := f.delivery.plan(next.Outputs, f.env(next.Config))
	if err != nil {
		return err
	}
	// From here on nothing can go wrong any more.
	changed := next.Source.Changed(now.Source)
	f.live.Store(next)
	if f.Level != nil {
		f.Level.Set(next.level())
	}
	if anyOf(changed, ingestKeys) || x.audit != nil { // its rules may be others
		f.openIngest(x)
	}
	if anyOf(changed, []string{"auth"}) {
		f.openPage(x)
	}
	added, replaced, removed := p.changes()
	f.delivery.swap(ctx, delivering, p, fail)
	for _, name := range removed {
		f.metrics.Forget(name)
	}
	if len(added)+len(removed) > 0 && ctx.Err() == nil {
		if err := f.delivery.prune(ctx); err != nil {
			f.Log.Warn("the places of outputs that are gone could not be looked at", "error", err)
		}
	}
	f.reloaded(next, now, changed)
	f.Log.Info("the new configuration is in force", "outputs_added", added, "outputs_changed", replaced, "outputs_removed", removed)
	return nil
}

// reloaded says that next has taken the place of before.
func (f *forwarder) reloaded(next, before *Loaded, changed []string) {
	for _, w := range next.Source.Warnings {
		if !slices.Contains(before.Source.Warnings, w) {
			f.Log.Warn("configuration", "problem", w.Error())
		}
	}
	now := time.Now()
	f.metrics.Configured(now)
	restart := needRestart(next.Source.Changed(f.Source))
	if f.reloads.done(restart, now) && len(restart) > 0 {
		f.Log.WarnContext(answer, "some settings have changed that come into force with a restart only", "keys", restart)
	}
	if labels := next.fieldNames(); anyOf(changed, []string{"customfields", "templatedfields"}) && !slices.Equal(labels, before.fieldNames()) {
		f.Log.WarnContext(answer, "the fields that are added to events have changed; as labels of the metrics they change with a restart only", "fields", labels)
	}
}

// answer is the context of lines about a change of the configuration.
var answer = logs.Answer(context.Background())

// reloadFailed says why a configuration was not taken up, unless that has been said.
func (f *forwarder) reloadFailed(err error, anew bool) {
	f.metrics.NotConfigured()
	if !f.reloads.failed(err, time.Now()) && !anew {
		return
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		const most = 20
		for _, p := range problems[:min(len(problems), most)] {
			f.Log.ErrorContext(answer, "configuration", "problem", p.Error())
		}
		err = fmt.Errorf("it has %d mistakes", len(problems))
		if len(problems) == 1 {
			err = errors.New("it has a mistake")
		}
	}
	f.Log.ErrorContext(answer, "the new configuration was not taken up, the one before stays in force", "error", err)
}

// ingestKeys are the keys, and sections, that say what becomes of a request with events.
var ingestKeys = []string{"auth", "bracketreplacer", "customfields", "customtags", "ingest", "limits", "outputfieldformat", "templatedfields"}

// listenerKeys are those of ingestKeys that belong to the listeners, which stay open.
var listenerKeys = []string{"limits.maxconnections", "limits.maxconnectionsperaddress"}

// otherLiveKeys are further keys of the forwarder's own that come into force at once.
var otherLiveKeys = []string{"debug", "log.level", "mutualtlsclient", "mutualtlsfilespath", "tlsclient"}

// needRestart returns those of the changed keys that are the forwarder's own and come into
// force with a restart only.
func needRestart(changed []string) []string {
	own, err := config.Fields(new(Config))
	if err != nil {
		return nil // the loader has described the same struct
	}
	var all []string
	for _, f := range own {
		live := !slices.Contains(listenerKeys, f.Key) && (isOf(f.Key, ingestKeys) || isOf(f.Key, otherLiveKeys))
		if !live && slices.Contains(changed, f.Key) {
			all = append(all, f.Key)
		}
	}
	return all
}

// isOf reports whether key is one of keys or lies in a section that is.
func isOf(key string, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
}

func anyOf(changed, keys []string) bool {
	return slices.ContainsFunc(changed, func(key string) bool { return isOf(key, keys) })
}
