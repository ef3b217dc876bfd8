// Package container tells which container a process belongs to and what is known of that
// container.
//
// The id comes from the path of the process's control group, which the kernel gives with
// every exec and fork: no runtime is asked, so the id is there from the first event on.
// What only the runtime knows (name, image, labels, mounts) is kept in a Resolver, which
// never waits: it is asked for in the background, and whoever needs it is told when it came.
//
//	cgroup path ── FromCgroup ──> ID ── Resolver.Want ──> runtimes.Watcher ── socket
//	                               │                            │
//	                     fields ── Resolver.Info <── Store ─────┘
//
// The package stands beside the process table; fields/syscalls reads both. Package runtimes
// talks to the runtimes, each of which has a folder below.
package container

import "strings"

// Engine is the kind of runtime that a control group's name gives away.
type Engine uint8

// The engines. The names are container.type's values.
const (
	// None: the process runs on the host.
	None Engine = iota
	Podman
	Docker
	CRI
	CRIO
	Containerd
	LXC
	LibvirtLXC
	BPM
)

// String returns the engine's name, "host" for None.
func (e Engine) String() string {
	return [...]string{
		"host", "podman", "docker", "cri", "cri-o", "containerd", "lxc", "libvirt-lxc", "bpm",
	}[e]
}

// shortLen is the length that runtimes and rules shorten a container's id to.
const shortLen = 12

// hexLen is the length of a whole id made by an OCI runtime.
const hexLen = 64

// HostID is the container.id of a process that is in no container.
const HostID = "host"

// ID names a container on this machine. The zero ID is the host.
type ID struct {
	// Full is the whole id; it shares its bytes with the path it was found in.
	Full   string
	Engine Engine
}

// Host says that there is no container.
func (id ID) Host() bool { return id.Engine == None }

// Short returns the id as rules know it: the first 12 characters of an OCI runtime's id, the
// whole name of an LXC or BPM container, HostID for the host.
func (id ID) Short() string {
	switch {
	case id.Engine == None:
		return HostID
	case len(id.Full) == hexLen:
		return id.Full[:shortLen]
	default:
		return id.Full
	}
}

// FromCgroup finds the container in the path of a control group. The innermost one counts,
// so that a service inside a container that runs systemd, or a container inside a container,
// is told apart. Anything unknown is the host.
func FromCgroup(path string) ID {
	for end := len(path); end > 0; {
		start := strings.LastIndexByte(path[:end], '/') + 1
		if segment := path[start:end]; segment != "" {
			if id := fromSegment(segment, path[:start], path[end:]); !id.Host() {
				return id
			}
		}
		end = start - 1
	}
	return ID{}
}

// layouts are the forms of a path segment that hold an id of 64 hexadecimal digits.
// Podman's conmon and CRI-O's conmon, which run on the host, have forms of their own and so
// match none.
var layouts = [...]struct {
	prefix, suffix string
	engine         Engine
}{
	{"libpod-payload-", "", Podman},
	{"libpod-", ".scope", Podman},
	{"libpod-", "", Podman},
	{"docker-", ".scope", Docker},
	{"crio-", ".scope", CRIO},
	{"crio-", "", CRIO},
	{"cri-containerd-", ".scope", CRI},
	{"nerdctl-", ".scope", Containerd},
}

// fromSegment looks at one segment; before is the path up to it with a slash at the end,
// after what follows it.
func fromSegment(segment, before, after string) ID {
	if isHexID(segment) {
		return ID{segment, bareEngine(before)}
	}
	for _, l := range layouts {
		if id, ok := between(segment, l.prefix, l.suffix); ok && isHexID(id) {
			return ID{id, l.engine}
		}
	}
	if i := strings.LastIndex(segment, ":cri-containerd:"); i >= 0 {
		if id := segment[i+len(":cri-containerd:"):]; isHexID(id) {
			return ID{id, CRI}
		}
	}
	if id := fromLXC(segment, before); !id.Host() {
		return id
	}
	if id, ok := between(segment, "bpm-", ".scope"); ok && id != "" {
		return ID{id, BPM}
	}
	if after == "" && containerdNamespace(before) && isContainerdID(segment) {
		return ID{segment, Containerd}
	}
	return ID{}
}

// bareEngine decides whose an id without prefix is: the kubelet's pods are run by a CRI
// runtime, Podman with the cgroupfs driver names a parent folder, containerd names its
// namespace. Anything else is most likely Docker's.
func bareEngine(before string) Engine {
	switch {
	case strings.Contains(before, "/kubepods"):
		return CRI
	case strings.Contains(before, "/libpod"):
		return Podman
	case before == "/k8s.io/":
		return CRI
	case before == "/default/", before == "/buildkit/":
		return Containerd
	default:
		return Docker
	}
}

// fromLXC knows the forms of LXC, LXD, Incus and libvirt. The monitor process of a container
// runs on the host and is not matched.
func fromLXC(segment, before string) ID {
	if name, ok := strings.CutPrefix(segment, "lxc.payload."); ok && name != "" {
		return ID{name, LXC}
	}
	switch {
	case strings.HasSuffix(before, "/libvirt/lxc/"):
		return ID{segment, LibvirtLXC}
	case strings.HasSuffix(before, "/lxc/"), strings.HasSuffix(before, "/lxc.payload/"):
		return ID{segment, LXC}
	}
	if name, ok := strings.CutSuffix(segment, ".libvirt-lxc"); ok && name != "" {
		return ID{name, LibvirtLXC}
	}
	if name, ok := between(segment, `machine-lxc\x2d`, ".scope"); ok && name != "" {
		return ID{name, LibvirtLXC}
	}
	return ID{}
}

// containerdNamespace says whether before is exactly the folder of a containerd namespace,
// where a container made by ctr without a runtime in between sits. Only the names that
// containerd's own users give are known: any other pair of folder and name is more often a
// manager of services than a container.
func containerdNamespace(before string) bool {
	switch before {
	case "/default/", "/k8s.io/", "/moby/", "/buildkit/":
		return true
	}
	return false
}

// isContainerdID follows containerd's rule for identifiers, and leaves out systemd's units.
func isContainerdID(s string) bool {
	if s == "" || len(s) > hexLen {
		return false
	}
	for _, unit := range [...]string{".service", ".slice", ".scope"} {
		if strings.HasSuffix(s, unit) {
			return false
		}
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		separator := c == '-' || c == '_' || c == '.'
		if !letter && (i == 0 || !separator) {
			return false
		}
	}
	return true
}

func isHexID(s string) bool {
	if len(s) != hexLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func between(s, prefix, suffix string) (string, bool) {
	if len(s) < len(prefix)+len(suffix) || !strings.HasPrefix(s, prefix) || !strings.HasSuffix(s, suffix) {
		return "", false
	}
	return s[len(prefix) : len(s)-len(suffix)], true
}
