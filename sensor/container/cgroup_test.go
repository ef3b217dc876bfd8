package container_test

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/container"
)

const (
	id1 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	id2 = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
)

func TestFromCgroup(t *testing.T) {
	for _, c := range []struct {
		name, path string
		engine     container.Engine
		short      string
	}{
		{"the root is the host", "/", container.None, "host"},
		{"an empty path is the host", "", container.None, "host"},
		{"a service is the host", "/system.slice/sshd.service", container.None, "host"},
		{"a session is the host", "/user.slice/user-0.slice/session-1.scope", container.None, "host"},

		{"podman, systemd", "/machine.slice/libpod-" + id1 + ".scope", container.Podman, "0123456789ab"},
		{"podman, below the scope", "/machine.slice/libpod-" + id1 + ".scope/container", container.Podman, "0123456789ab"},
		{"podman, cgroupfs", "/libpod_parent/libpod-" + id1, container.Podman, "0123456789ab"},
		{"podman, payload", "/libpod-payload-" + id1, container.Podman, "0123456789ab"},
		{"podman's monitor is on the host", "/machine.slice/libpod-conmon-" + id1 + ".scope", container.None, "host"},
		{"podman, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id1 + ".scope", container.Podman, "0123456789ab"},

		{"docker, cgroupfs", "/docker/" + id1, container.Docker, "0123456789ab"},
		{"docker, systemd", "/system.slice/docker-" + id1 + ".scope", container.Docker, "0123456789ab"},
		{"docker in docker", "/docker/" + id1 + "/docker/" + id2, container.Docker, "fedcba987654"},
		{"systemd in docker", "/docker/" + id1 + "/system.slice/cron.service", container.Docker, "0123456789ab"},

		{"kubelet, containerd", "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id1 + ".scope", container.CRI, "0123456789ab"},
		{"kubelet, cgroupfs", "/kubepods/burstable/pod9f2c/" + id1, container.CRI, "0123456789ab"},
		{"kubelet in a container", "/docker/" + id1 + "/kubelet.slice/cri-containerd-" + id2 + ".scope", container.CRI, "fedcba987654"},
		{"containerd's own form", "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + id1, container.CRI, "0123456789ab"},
		{"CRI-O, systemd", "/kubepods.slice/crio-" + id1 + ".scope", container.CRIO, "0123456789ab"},
		{"CRI-O, cgroupfs", "/kubepods/crio-" + id1, container.CRIO, "0123456789ab"},
		{"CRI-O's monitor is on the host", "/kubepods.slice/crio-conmon-" + id1 + ".scope", container.None, "host"},
		{"nerdctl", "/system.slice/nerdctl-" + id1 + ".scope", container.Containerd, "0123456789ab"},

		{"ctr", "/default/web", container.Containerd, "web"},
		{"ctr, long id", "/k8s.io/" + id1[:40], container.Containerd, id1[:40]},
		{"a folder that is no namespace of containerd is the host", "/jobs/" + id1[:32], container.None, "host"},
		{"a unit in such a namespace is the host", "/default/web.service", container.None, "host"},

		{"lxc", "/lxc/web", container.LXC, "web"},
		{"lxc, service inside", "/lxc/web/system.slice/cron.service", container.LXC, "web"},
		{"lxc 4", "/lxc.payload/web", container.LXC, "web"},
		{"lxd", "/lxc.payload.web/init.scope", container.LXC, "web"},
		{"lxc's monitor is on the host", "/lxc.monitor.web", container.None, "host"},
		{"libvirt", "/libvirt/lxc/web", container.LibvirtLXC, "web"},
		{"libvirt, suffix", "/machine/web.libvirt-lxc", container.LibvirtLXC, "web"},
		{"libvirt, systemd", `/machine.slice/machine-lxc\x2d17\x2dweb.scope`, container.LibvirtLXC, `17\x2dweb`},
		{"bpm", "/system.slice/bpm-job.scope", container.BPM, "job"},

		{"upper case is no id", "/docker/" + strings.ToUpper(id1), container.None, "host"},
		{"too short an id", "/docker/" + id1[1:], container.None, "host"},
		{"too long an id", "/docker/" + id1 + "0", container.None, "host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := container.FromCgroup(c.path)
			if id.Engine != c.engine || id.Short() != c.short {
				t.Errorf("FromCgroup(%q) = %q of %v, want %q of %v", c.path, id.Short(), id.Engine, c.short, c.engine)
			}
			if id.Host() != (c.engine == container.None) {
				t.Errorf("Host() = %v", id.Host())
			}
		})
	}
}

func FuzzFromCgroup(f *testing.F) {
	f.Add("/docker/" + id1)
	f.Add("/lxc/a/b")
	f.Add(`/machine.slice/machine-lxc\x2d17\x2dweb.scope`)
	f.Add("//")
	f.Fuzz(func(t *testing.T, path string) {
		id := container.FromCgroup(path)
		if !strings.Contains(path, id.Full) {
			t.Errorf("%q is not in the path", id.Full)
		}
		if id.Host() != (id.Full == "") {
			t.Errorf("engine %v has the id %q", id.Engine, id.Full)
		}
	})
}

func TestResolver(t *testing.T) {
	a, b, c := container.ID{Full: "a", Engine: container.LXC}, container.ID{Full: "b", Engine: container.LXC}, container.ID{Full: "c", Engine: container.LXC}

	t.Run("the host is always known", func(t *testing.T) {
		var none *container.Resolver
		info := none.Info(container.ID{})
		if info.Name != "host" || info.ImageRepository != "" || *info.Privileged {
			t.Errorf("host is %+v", info)
		}
		r := container.NewResolver(1)
		r.Store(&container.Info{Name: "fake"})
		if got := r.Info(container.ID{}).Name; got != "host" {
			t.Errorf("host became %q", got)
		}
	})
	t.Run("a container is unknown until stored", func(t *testing.T) {
		r := container.NewResolver(2)
		if r.Info(a) != nil {
			t.Error("known before it was stored")
		}
		r.Store(&container.Info{ID: a, Name: "web"})
		if got := r.Info(a); got == nil || got.Name != "web" {
			t.Errorf("got %+v", got)
		}
		r.Forget(a.Full)
		if r.Info(a) != nil {
			t.Error("known after it was forgotten")
		}
	})
	t.Run("the limit holds and the last used stay", func(t *testing.T) {
		r := container.NewResolver(2)
		r.Store(&container.Info{ID: a})
		r.Store(&container.Info{ID: b})
		r.Info(a)
		r.Store(&container.Info{ID: c})
		if r.Len() != 2 || r.Info(a) == nil || r.Info(b) != nil || r.Evicted() != 1 {
			t.Errorf("%d kept, %d evicted", r.Len(), r.Evicted())
		}
	})
}

func TestAMountIsPrintedWithFiveParts(t *testing.T) {
	m := container.Mount{Source: "/etc", Dest: "/host", Mode: "ro", Propagation: "rslave"}
	if got, want := m.String(), "/etc:/host:ro:false:rslave"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkFromCgroup(b *testing.B) {
	path := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" + id1 + ".scope"
	b.ReportAllocs()
	for b.Loop() {
		if container.FromCgroup(path).Host() {
			b.Fatal("not found")
		}
	}
}
