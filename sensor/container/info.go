package container

import (
	"strconv"
	"strings"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
)

// DefaultLimit is the number of containers a Resolver remembers unless told otherwise. A
// node runs at most a few hundred pods; the rest is room for containers that come and go.
const DefaultLimit = 4096

// Info is what is known of a container besides its id. A nil pointer, a nil map or the zero
// value of a field that is documented so means that it is unknown.
//
// An Info is not changed once it has been stored: whoever learns more stores a new one.
type Info struct {
	ID ID
	// Name is the container's name without a leading slash.
	Name string
	// Image is the image as it was asked for, ImageRepository and ImageTag its parts,
	// ImageDigest and ImageID what the runtime resolved it to.
	Image, ImageRepository, ImageTag, ImageDigest, ImageID string
	// Privileged, HostPID, HostNetwork and HostIPC are nil while unknown.
	Privileged, HostPID, HostNetwork, HostIPC *bool
	// Labels are the container's, with the pod's name, namespace and uid under
	// io.kubernetes.pod.*; PodLabels those of the pod's sandbox.
	Labels, PodLabels map[string]string
	// PodName, PodNamespace and PodUID name the Kubernetes pod, PodSandboxID its sandbox;
	// empty for a container outside Kubernetes.
	PodName, PodNamespace, PodUID, PodSandboxID string
	// IP is the container's address, PodIP the pod's; empty while unknown.
	IP, PodIP string
	// StartTime is in nanoseconds since the Unix epoch, 0 while unknown.
	StartTime uint64
	// Mounts are the container's mounts, nil while unknown.
	Mounts []Mount
	// Healthcheck, Liveness and Readiness are the commands of the probes, empty for none.
	Healthcheck, Liveness, Readiness string
}

// Mount is one mount of a container.
type Mount struct {
	Source, Dest, Mode string
	Writable           bool
	Propagation        string
}

// String returns the mount as source:dest:mode:writable:propagation.
func (m Mount) String() string {
	return strings.Join([]string{m.Source, m.Dest, m.Mode, strconv.FormatBool(m.Writable), m.Propagation}, ":")
}

var no = false

// host is what is known of the machine itself when it is asked for like a container.
var host = Info{
	Name: HostID, Privileged: &no, HostPID: &no, HostNetwork: &no, HostIPC: &no,
	Labels: map[string]string{}, PodLabels: map[string]string{}, Mounts: []Mount{},
}

// Resolver keeps what is known of the containers seen last. Its methods may be called from
// several goroutines: rules read it while whoever talks to the runtimes fills it.
type Resolver struct {
	cache   *lru.Cache[string, *Info]
	evicted atomic.Uint64
}

// NewResolver returns a Resolver that remembers at most limit containers, DefaultLimit when
// limit is not positive.
func NewResolver(limit int) *Resolver {
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := &Resolver{}
	cache, err := lru.NewWithEvict(limit, func(string, *Info) { r.evicted.Add(1) })
	if err != nil {
		panic(err) // only a limit that is not positive is refused
	}
	r.cache = cache
	return r
}

// Info returns what is known of id, nil while nothing is. For the host it is always known.
// A nil Resolver knows the host only.
func (r *Resolver) Info(id ID) *Info {
	if id.Host() {
		return &host
	}
	if r == nil {
		return nil
	}
	info, _ := r.cache.Get(id.Full)
	return info
}

// Store remembers info under its id, in place of what was known before. The host's is not
// replaced.
func (r *Resolver) Store(info *Info) {
	if !info.ID.Host() {
		r.cache.Add(info.ID.Full, info)
	}
}

// Forget drops a container that has been removed.
func (r *Resolver) Forget(id ID) { r.cache.Remove(id.Full) }

// Len returns how many containers are known.
func (r *Resolver) Len() int { return r.cache.Len() }

// Evicted returns how many containers had to make room for others or were removed.
func (r *Resolver) Evicted() uint64 { return r.evicted.Load() }
