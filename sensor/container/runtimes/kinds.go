package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/containerd"
	"github.com/saker-security/saker/sensor/container/cri"
	"github.com/saker-security/saker/sensor/container/docker"
	"github.com/saker-security/saker/sensor/container/podman"
)

// Runtime is a connection to one container runtime. Its methods may be called from several
// goroutines and end with their ctx.
type Runtime interface {
	// Inspect returns what is known of the container with the given whole id. The error is
	// container.ErrUnknown when there is none; after another it may be asked again.
	Inspect(ctx context.Context, id string) (*container.Info, error)
	// List returns the whole ids of the runtime's containers.
	List(ctx context.Context) ([]string, error)
	// Watch calls changed, from one goroutine, for each container that is made, started or
	// removed, until ctx or the connection ends. Its error, never nil, is
	// container.ErrNoEvents when the runtime reports none.
	Watch(ctx context.Context, changed func(container.Change)) error
	// Close ends the connection.
	Close() error
}

// kind is a kind of runtime.
type kind struct {
	name   string
	usual  []string
	engine func(Config) Engine
	open   func(ctx context.Context, socket string) (Runtime, error)
	// first are the engines about whose containers this kind is asked before others.
	first []container.Engine
}

// kinds are the kinds of runtime, in the order in which they are asked about a container that
// is none of theirs by its control group.
var kinds = [...]kind{
	{
		name:   "cri",
		usual:  []string{"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock", "/run/host-containerd/containerd.sock"},
		engine: func(c Config) Engine { return c.CRI },
		open:   opener(cri.Open),
		first:  []container.Engine{container.CRI, container.CRIO},
	},
	{
		name:   "docker",
		usual:  []string{"/var/run/docker.sock", "/run/docker.sock"},
		engine: func(c Config) Engine { return c.Docker },
		open:   opener(docker.Open),
		first:  []container.Engine{container.Docker},
	},
	{
		name:   "podman",
		usual:  []string{"/run/podman/podman.sock", "/run/user/*/podman/podman.sock"},
		engine: func(c Config) Engine { return c.Podman },
		open:   opener(podman.Open),
		first:  []container.Engine{container.Podman},
	},
	{
		name:   "containerd",
		usual:  []string{"/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/host-containerd/containerd.sock"},
		engine: func(c Config) Engine { return c.Containerd },
		open:   opener(containerd.Open),
		first:  []container.Engine{container.Containerd},
	},
}

// opener makes an Open of a client that of a Runtime. A nil client must not become a Runtime
// that is not nil.
func opener[R Runtime](open func(context.Context, string) (R, error)) func(context.Context, string) (Runtime, error) {
	return func(ctx context.Context, socket string) (Runtime, error) {
		r, err := open(ctx, socket)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
}

// order returns the links that are to be asked about a container of the engine, those first
// that are most likely to know it.
func order(links []*link, engine container.Engine) []*link {
	own := func(l *link) bool { return slices.Contains(l.kind.first, engine) }
	links = slices.DeleteFunc(slices.Clone(links), func(l *link) bool { return l.foreign && !own(l) })
	rank := func(l *link) int {
		switch {
		case l.foreign:
			return 2
		case own(l):
			return 0
		}
		return 1
	}
	slices.SortStableFunc(links, func(a, b *link) int { return rank(a) - rank(b) })
	return links
}

// ownedByRoot says that no user but root, or whom the sensor runs as, can put anything else at
// the path: what is there and all folders above are theirs.
func ownedByRoot(path string) bool {
	for {
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return false
		}
		above := filepath.Dir(path)
		if above == path {
			return true
		}
		path = above
	}
}
