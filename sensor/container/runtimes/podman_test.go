package runtimes_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/docker"
	"github.com/saker-security/saker/sensor/container/podman"
	"github.com/saker-security/saker/sensor/container/runtimes"
)

// podmanService is a Podman of the test's own, with an image.
type podmanService struct {
	t      *testing.T
	global []string
	socket string
}

const podmanImage = "localhost:5000/saker/test:v1"

func startPodman(t *testing.T) *podmanService {
	t.Helper()
	need(t, "podman")
	dir := short(t)
	p := &podmanService{t: t, socket: filepath.Join(dir, "s"), global: []string{
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
	}}
	t.Cleanup(func() { p.run("system", "reset", "--force") })
	run(t, bytes.NewReader(rootfs(t)), "podman", append(slices.Clone(p.global), "import", "-", podmanImage)...)
	daemon(t, p.socket, "podman", append(slices.Clone(p.global), "system", "service", "--time", "0", "unix://"+p.socket)...)
	return p
}

func (p *podmanService) run(args ...string) string {
	p.t.Helper()
	return run(p.t, nil, "podman", append(slices.Clone(p.global), args...)...)
}

// start makes and starts a container and returns its id.
func (p *podmanService) start(options ...string) string {
	p.t.Helper()
	args := append([]string{"run", "--detach", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"}, options...)
	out := p.run(append(args, podmanImage, "/bin/sleep", "1000")...)
	lines := strings.Fields(out)
	id := lines[len(lines)-1]
	p.t.Cleanup(func() { p.run("rm", "--force", "--ignore", "--time", "0", id) })
	return id
}

func TestPodmanTellsOfItsContainers(t *testing.T) {
	p := startPodman(t)
	ctx := t.Context()
	id := p.start("--name", "web", "--network", "none", "--label", "app=shop", "--label", "long="+strings.Repeat("x", 101),
		"--volume", "/tmp:/data:ro,rslave", "--health-cmd", "/bin/true x", "--health-interval", "disable")
	privileged := p.start("--privileged", "--network", "host", "--pid", "host")
	imageID := p.run("image", "inspect", "--format", "{{.Id}}", podmanImage)
	digest := p.run("image", "inspect", "--format", "{{.Digest}}", podmanImage)

	want := &container.Info{
		ID: container.ID{Full: id, Engine: container.Podman}, Name: "web",
		Image: podmanImage, ImageRepository: "localhost:5000/saker/test", ImageTag: "v1", ImageID: imageID, ImageDigest: digest,
		Privileged: new(false), HostPID: new(false), HostNetwork: new(false), HostIPC: new(false),
		Labels: map[string]string{"app": "shop"}, PodLabels: map[string]string{},
		Mounts:      []container.Mount{{Source: "/tmp", Dest: "/data", Propagation: "rslave"}},
		Healthcheck: "/bin/sh -c /bin/true x",
	}
	t.Run("through its own API", func(t *testing.T) {
		c, err := podman.Open(ctx, p.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		inspected(t, c, want)
		info := inspect(t, c, privileged)
		for name, is := range map[string]*bool{
			"privileged": info.Privileged, "host_pid": info.HostPID, "host_network": info.HostNetwork,
		} {
			if is == nil || !*is {
				t.Errorf("%s is not known to be true", name)
			}
		}
		listed(t, c, id, privileged)
		followed(t, c, p)
	})
	t.Run("through the API it shares with Docker", func(t *testing.T) {
		c, err := docker.Open(ctx, p.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := *want
		want.ID.Engine = container.Docker
		inspected(t, c, &want, cmpopts.IgnoreFields(container.Info{}, "ImageDigest", "IP"))
		listed(t, c, id, privileged)
		followed(t, c, p)
	})
}

func inspect(t *testing.T, c runtimes.Runtime, id string) *container.Info {
	t.Helper()
	info, err := c.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info.Limited(container.DefaultLabelLength)
}

// inspected checks what the runtime says of a container, and of one that it does not have.
func inspected(t *testing.T, c runtimes.Runtime, want *container.Info, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, inspect(t, c, want.ID.Full), options...); diff != "" {
		t.Errorf("the container is described differently (-want +got):\n%s", diff)
	}
	for _, id := range []string{strings.Repeat("0", 64), want.Name, want.ID.Full[:12], "../../version?"} {
		if _, err := c.Inspect(t.Context(), id); id != want.ID.Full && !errors.Is(err, container.ErrUnknown) {
			t.Errorf("the container %q is not unknown: %v", id, err)
		}
	}
}

func listed(t *testing.T, c runtimes.Runtime, ids ...string) {
	t.Helper()
	got, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if !slices.Contains(got, id) {
			t.Errorf("%s is not listed in %v", id, got)
		}
	}
}

// followed checks that a container is reported when it is made and when it is removed.
func followed(t *testing.T, c runtimes.Runtime, p *podmanService) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	changes := make(chan container.Change, 100)
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(ctx, func(c container.Change) { changes <- c }) }()
	defer func() {
		stop()
		if err := <-ended; err == nil {
			t.Error("following the events ended without an error")
		}
	}()
	// Following begins some time after the call: containers are made until one is reported.
	var id string
	eventually(t, "a new container is reported", func() error {
		id = p.run("create", "--network", "none", podmanImage, "/bin/true")
		select {
		case <-changes:
			return nil
		case <-time.After(time.Second):
			p.run("rm", id)
			return errors.New("nothing is reported")
		}
	})
	p.run("rm", id)
	for {
		select {
		case c := <-changes:
			if c.ID == id && c.Removed {
				return
			}
		case err := <-ended:
			ended <- err
			t.Fatalf("the removal is not reported: %v", err)
		}
	}
}
