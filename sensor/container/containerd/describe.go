package containerd

import (
	"encoding/json"
	"slices"
	"strings"

	messages "github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/sensor/container"
)

// spec is the part of the OCI runtime's specification that is looked at.
type spec struct {
	Process struct {
		ApparmorProfile, SelinuxLabel string
	}
	Mounts []struct {
		Destination, Source, Type string
		Options                   []string
	}
	Annotations map[string]string
	Linux       struct {
		Namespaces                 []struct{ Type string }
		MaskedPaths, ReadonlyPaths []string
		Seccomp                    *struct{}
		RootfsPropagation          string
	}
}

// read returns what an event says.
func read(topic string, message []byte) (container.Change, bool) {
	switch topic {
	case "/containers/create":
		var e messages.ContainerCreate
		err := proto.Unmarshal(message, &e)
		return container.Change{ID: e.GetID()}, err == nil
	case "/containers/delete":
		var e messages.ContainerDelete
		err := proto.Unmarshal(message, &e)
		return container.Change{ID: e.GetID(), Removed: true}, err == nil
	}
	return container.Change{}, false
}

// describe says what containerd knows of a container. It has no names: the id is the name.
func describe(c *containers.Container) *container.Info {
	var s spec
	known := json.Unmarshal(c.GetSpec().GetValue(), &s) == nil
	id := container.ID{Full: c.GetID(), Engine: container.Containerd}
	info := &container.Info{
		ID:           id,
		Name:         id.Short(),
		Image:        c.GetImage(),
		Labels:       c.GetLabels(),
		PodSandboxID: c.GetSandbox(),
	}
	info.ImageRepository, info.ImageTag = container.Repository(info.Image)
	if name := info.Labels["nerdctl/name"]; name != "" {
		info.Name = name
	}
	if info.PodSandboxID == "" {
		info.PodSandboxID = s.Annotations["io.kubernetes.cri.sandbox-id"]
	}
	if known {
		info.Privileged = s.privileged()
		info.HostPID, info.HostNetwork, info.HostIPC = s.shares("pid"), s.shares("network"), s.shares("ipc")
		info.Mounts = s.mounts()
	}
	info.PodFromLabels()
	return info
}

// shares says that the container has no namespace of its own of the given type.
func (s *spec) shares(namespace string) *bool {
	shared := !slices.ContainsFunc(s.Linux.Namespaces, func(n struct{ Type string }) bool { return n.Type == namespace })
	return &shared
}

// privileged follows what containerd does for a privileged container: nothing is hidden from
// it, and nothing confines it.
func (s *spec) privileged() *bool {
	open := s.Linux.MaskedPaths == nil && s.Linux.ReadonlyPaths == nil && s.Linux.Seccomp == nil &&
		s.Process.SelinuxLabel == "" && (s.Process.ApparmorProfile == "" || s.Process.ApparmorProfile == "unconfined")
	for _, m := range s.Mounts {
		if (m.Type == "sysfs" || m.Type == "cgroup") && slices.Contains(m.Options, "ro") {
			open = false
		}
	}
	return &open
}

func (s *spec) mounts() []container.Mount {
	var out []container.Mount
	for _, m := range s.Mounts {
		mount := container.Mount{
			Source: m.Source, Dest: m.Destination, Writable: !slices.Contains(m.Options, "ro"), Propagation: s.Linux.RootfsPropagation,
		}
		for _, o := range m.Options {
			if mode, ok := strings.CutPrefix(o, "mode="); ok {
				mount.Mode = mode
			}
		}
		out = append(out, mount)
	}
	return out
}
