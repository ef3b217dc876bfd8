package runtimes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/sensor/container"
)

// fake is a runtime in memory.
type fake struct {
	mu       sync.Mutex
	has      map[string]string // names by id
	asked    []string
	foreign  bool // that another user may be behind it
	reports  bool // that it reports events
	events   chan container.Change
	gone     chan struct{} // closed when the connection breaks
	hangs    bool
	closed   bool
	broken   error
	inFlight int
	most     int
}

// path is where the fake's socket would be.
func (f *fake) path(t *testing.T) string {
	if f.foreign {
		return "/nowhere" // nobody owns it
	}
	path := filepath.Join(t.TempDir(), "socket")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *fake) Inspect(ctx context.Context, id string) (*container.Info, error) {
	f.mu.Lock()
	f.asked = append(f.asked, id)
	name, ok := f.has[id]
	hangs := f.hangs
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !ok:
		return nil, container.ErrUnknown
	}
	return &container.Info{ID: container.ID{Full: id, Engine: container.Docker}, Name: name}, nil
}

func (f *fake) List(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for id := range f.has {
		ids = append(ids, id)
	}
	return ids, f.broken
}

func (f *fake) Watch(ctx context.Context, changed func(container.Change)) error {
	if !f.reports {
		return container.ErrNoEvents
	}
	for {
		select {
		case c := <-f.events:
			changed(c)
		case <-f.gone:
			return errors.New("the connection is gone")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fake) Close() error {
	f.closed = true
	return nil
}

func (f *fake) set(id, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name == "" {
		delete(f.has, id)
	} else {
		f.has[id] = name
	}
}

// withFake runs a Watcher that is connected to f, in fake time.
func withFake(t *testing.T, f *fake, test func(t *testing.T, w *Watcher, r *container.Resolver, resolved func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if f.has == nil {
			f.has = make(map[string]string)
		}
		f.gone, f.events = make(chan struct{}), make(chan container.Change)
		var mu sync.Mutex
		var ids []string
		r := container.NewResolver(0)
		w := New(Config{LabelMaxLen: 100}, Options{
			Resolver: r, Log: slog.New(slog.DiscardHandler),
			Resolved: func(id container.ID) {
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, id.Full)
			},
		})
		k := &kind{name: "fake", first: []container.Engine{container.Docker}, open: func(context.Context, string) (Runtime, error) { return f, nil }}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		s := socket{k, f.path(t)}
		w.take(s)
		running.Go(func() { w.serve(ctx, s) })
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		test(t, w, r, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(ids)
		})
		stop()
		running.Wait()
		// Pauses before another question end on their own.
		time.Sleep(time.Second)
	})
}

func id(name string) container.ID { return container.ID{Full: name, Engine: container.Docker} }

func TestWhatRunsAlreadyIsKnownAtOnce(t *testing.T) {
	f := &fake{has: map[string]string{"a": "web", "b": "db"}, reports: true}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, _ func() []string) {
		if r.Info(id("a")) == nil || r.Info(id("b")) == nil || w.Stats().Connected != 1 {
			t.Errorf("known: %d, %+v", r.Len(), w.Stats())
		}
	})
}

func TestAnUnknownContainerIsAskedForOnce(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, resolved func() []string) {
		f.set("new", "job")
		for range 10 {
			if got := r.Want(id("new")); got != container.Pending {
				t.Errorf("asking for it gives %v", got)
			}
		}
		synctest.Wait()
		if info := r.Info(id("new")); info == nil || info.Name != "job" {
			t.Errorf("known is %+v", info)
		}
		if diff := cmp.Diff([]string{"new"}, f.asked); diff != "" {
			t.Errorf("asked: %s", diff)
		}
		if diff := cmp.Diff([]string{"new"}, resolved()); diff != "" {
			t.Errorf("told: %s", diff)
		}
		if got := r.Want(id("new")); got != container.Known {
			t.Errorf("asking for what is known gives %v", got)
		}
	})
}

func TestARuntimeMayKnowAContainerAMomentLate(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, _ func() []string) {
		r.Want(id("new"))
		time.Sleep(100 * time.Millisecond)
		f.set("new", "job")
		time.Sleep(200 * time.Millisecond)
		if r.Info(id("new")) == nil {
			t.Error("it is not known")
		}
	})
}

func TestWhatNobodyKnowsIsNotAskedForAgainSoon(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, resolved func() []string) {
		r.Want(id("ghost"))
		time.Sleep(950 * time.Millisecond)
		if diff := cmp.Diff([]string{"ghost"}, resolved()); diff != "" {
			t.Errorf("told within the time that an event waits: %s", diff)
		}
		f.mu.Lock()
		asked := len(f.asked)
		f.mu.Unlock()
		if got := r.Want(id("ghost")); got != container.Refused || asked != 1+len(retries) {
			t.Errorf("asking again gives %v, after %d questions", got, asked)
		}
		time.Sleep(time.Minute)
		f.set("ghost", "real")
		if got := r.Want(id("ghost")); got != container.Pending {
			t.Errorf("asking much later gives %v", got)
		}
		synctest.Wait()
		if r.Info(id("ghost")) == nil {
			t.Error("it is not known now")
		}
		if s := w.Stats(); s.Asked != 2 || s.Unknown != 1 {
			t.Errorf("counted: %+v", s)
		}
	})
}

func TestARuntimesEventsAreFollowed(t *testing.T) {
	f := &fake{reports: true}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, _ func() []string) {
		f.set("a", "web")
		f.events <- container.Change{ID: "a"}
		synctest.Wait()
		if r.Info(id("a")) == nil {
			t.Fatal("a container that was made is not known")
		}
		f.set("a", "")
		f.events <- container.Change{ID: "a", Removed: true}
		time.Sleep(keepRemoved / 2)
		if r.Info(id("a")) == nil {
			t.Error("a removed container is forgotten while its last events may be on their way")
		}
		time.Sleep(keepRemoved)
		if r.Info(id("a")) != nil {
			t.Error("a removed container is never forgotten")
		}
		f.set("a", "again")
		f.events <- container.Change{ID: "a", Removed: true}
		f.events <- container.Change{ID: "a"}
		time.Sleep(2 * keepRemoved)
		if info := r.Info(id("a")); info == nil || info.Name != "again" {
			t.Errorf("an id that is used again is %+v", info)
		}
	})
}

// Whoever is behind a socket that is not root's could make any container look harmless.
func TestASocketOfAnotherUserTellsOnlyOfItsOwnKindWhenAsked(t *testing.T) {
	f := &fake{foreign: true, reports: true, has: map[string]string{"a": "fake"}}
	withFake(t, f, func(t *testing.T, _ *Watcher, r *container.Resolver, _ func() []string) {
		f.events <- container.Change{ID: "a"}
		synctest.Wait()
		if r.Info(id("a")) != nil {
			t.Error("what it lists or reports counts")
		}
		if got := r.Want(container.ID{Full: "a", Engine: container.CRIO}); got != container.Pending {
			t.Fatalf("asking gives %v", got)
		}
		time.Sleep(time.Minute)
		if r.Info(id("a")) != nil || len(f.asked) != 0 {
			t.Error("it is asked about a container of another kind")
		}
		if got := r.Want(id("a")); got != container.Pending {
			t.Fatalf("asking gives %v", got)
		}
		synctest.Wait()
		if r.Info(id("a")) == nil {
			t.Error("it is not asked about a container of its own kind")
		}
		r.Store(&container.Info{ID: id("other"), Name: "web"})
		f.events <- container.Change{ID: "other", Removed: true}
		time.Sleep(2 * keepRemoved)
		if r.Info(id("other")) == nil {
			t.Error("it has a container forgotten that it never told of")
		}
	})
}

func TestASocketIsRootsWhenAllAboveItIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	folder := filepath.Join(t.TempDir(), "a")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "socket")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !ownedByRoot(path) {
		t.Error("that of root is not root's")
	}
	for _, given := range []string{path, folder} {
		if err := os.Chown(given, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if ownedByRoot(path) {
			t.Errorf("it is root's although %s is not", given)
		}
		if err := os.Chown(given, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	if ownedByRoot(filepath.Join(folder, "none")) {
		t.Error("what does not exist is root's")
	}
}

func TestWithoutEventsTheListTellsWhatIsGone(t *testing.T) {
	f := &fake{has: map[string]string{"a": "web"}}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, _ func() []string) {
		f.set("a", "")
		f.set("b", "new")
		time.Sleep(refreshEvery + keepRemoved + 2*discoverEvery)
		if r.Info(id("a")) != nil || r.Info(id("b")) == nil {
			t.Errorf("the removed one is known: %v, the new one: %v", r.Info(id("a")) != nil, r.Info(id("b")) != nil)
		}
	})
}

func TestAHangingRuntimeBlocksNobody(t *testing.T) {
	f := &fake{hangs: true}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, resolved func() []string) {
		pending := 0
		for i := range 2 * container.MaxPending {
			switch r.Want(id(fmt.Sprint("c", i))) {
			case container.Pending:
				pending++
			case container.Overloaded:
			default:
				t.Fatal("neither asked nor refused")
			}
		}
		synctest.Wait()
		f.mu.Lock()
		most := f.most
		f.mu.Unlock()
		if pending != container.MaxPending || most != askers {
			t.Errorf("%d are asked for, %d at once", pending, most)
		}
		time.Sleep(callTimeout)
		synctest.Wait()
		if got := w.Stats().Failures; got != askers {
			t.Errorf("%d calls have failed, want %d", got, askers)
		}
	})
}

func TestALostConnectionIsMadeAgain(t *testing.T) {
	f := &fake{reports: true}
	withFake(t, f, func(t *testing.T, w *Watcher, r *container.Resolver, _ func() []string) {
		close(f.gone)
		synctest.Wait()
		if w.Stats().Connected != 0 || !f.closed {
			t.Error("the lost connection is still there")
		}
		if got := r.Want(id("x")); got != container.Pending {
			t.Errorf("asking gives %v", got)
		}
		time.Sleep(maxPause)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.busy) != 0 {
			t.Error("the socket is not free to be tried again")
		}
	})
}

func TestPausesGrowToALimit(t *testing.T) {
	for tries, bounds := range map[int][2]time.Duration{
		0: {minPause / 2, minPause}, 3: {4 * time.Second, 8 * time.Second}, 1000: {maxPause / 2, maxPause},
	} {
		if d := backoff(tries); d < bounds[0] || d > bounds[1] {
			t.Errorf("after %d failures it waits %v", tries, d)
		}
	}
}

func TestOtherRuntimesAreAskedToo(t *testing.T) {
	var links []*link
	for i := range kinds {
		links = append(links, &link{socket: socket{kind: &kinds[i]}})
	}
	for engine, want := range map[container.Engine]string{
		container.Podman:     "podman cri docker containerd",
		container.Docker:     "docker cri podman containerd",
		container.CRIO:       "cri docker podman containerd",
		container.Containerd: "containerd cri docker podman",
	} {
		var names []string
		for _, l := range order(links, engine) {
			names = append(names, l.kind.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("about a container of %v are asked %s, want %s", engine, got, want)
		}
	}
}

func TestSocketsAreFoundBelowTheHostsRoot(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{
		"/run/containerd/containerd.sock", "/run/user/1000/podman/podman.sock", "/run/user/1001/podman/podman.sock", "/run/docker.sock", "/own/x.sock",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "var"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run", filepath.Join(root, "var/run")); err != nil {
		t.Fatal(err)
	}
	names := func(c Config) string {
		var out []string
		for _, s := range c.sockets(root) {
			path, _ := filepath.Rel(root, s.path)
			out = append(out, s.kind.name+":"+path)
		}
		return strings.Join(out, " ")
	}
	usual := "cri:run/containerd/containerd.sock docker:run/docker.sock podman:run/user/1000/podman/podman.sock " +
		"podman:run/user/1001/podman/podman.sock containerd:run/containerd/containerd.sock"
	if got := names(Default()); got != usual {
		t.Errorf("the usual ones are %s\nwant %s", got, usual)
	}
	c := Config{LabelMaxLen: 100, Docker: Engine{Enabled: true, Sockets: []string{"/own/*.sock"}}}
	if got := names(c); got != "docker:own/x.sock" {
		t.Errorf("those of the configuration are %s", got)
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"label_max_len":       func(c *Config) { c.LabelMaxLen = 0 },
		"not an absolute":     func(c *Config) { c.CRI.Sockets = []string{"run/x.sock"} },
		"syntax error":        func(c *Config) { c.Podman.Sockets = []string{"/run/[x.sock"} },
		"at most 64 sockets ": func(c *Config) { c.Docker.Sockets = slices.Repeat([]string{"/x"}, 65) },
	} {
		c := Default()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not refused: %v", want, err)
		}
	}
}
