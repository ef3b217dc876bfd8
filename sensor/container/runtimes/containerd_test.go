package runtimes_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/containerd"
	"github.com/saker-security/saker/sensor/container/cri"
	"github.com/saker-security/saker/sensor/container/runtimes"
)

const (
	pauseImage = "localhost/saker/pause:test"
	shopImage  = "localhost:5000/saker/shop:v2"
)

// containerdService is a containerd of the test's own, with two images in Kubernetes'
// namespace and in ctr's.
type containerdService struct {
	t      *testing.T
	dir    string
	socket string
	cri    runtime.RuntimeServiceClient
	// removed are the pods that need no removal any more.
	removed map[string]bool
}

func startContainerd(t *testing.T) *containerdService {
	t.Helper()
	need(t, "containerd", "ctr", "runc", "containerd-shim-runc-v2")
	dir := short(t)
	s := &containerdService{t: t, dir: dir, socket: filepath.Join(dir, "s"), removed: make(map[string]bool)}
	// A machine may not let root lower a process's chance to be killed.
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = %q
[ttrpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  restrict_oom_score_adj = true
  sandbox_image = %q
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = %q
    bin_dir = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), s.socket, s.socket+".ttrpc", pauseImage, dir, dir)
	t.Cleanup(func() { removeCgroups(t, s.cgroup()) })
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, s.socket, "containerd", "--config", path)
	for _, image := range []string{pauseImage, shopImage} {
		archive := imageArchive(t, image)
		for _, namespace := range []string{"k8s.io", "default"} {
			eventually(t, "the image is imported", func() error {
				out, err := output(bytes.NewReader(archive), "ctr", "--address", s.socket, "--namespace", namespace,
					"images", "import", "--snapshotter", "native", "-")
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		}
	}
	conn, err := grpc.NewClient("unix://"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.cri = runtime.NewRuntimeServiceClient(conn)
	return s
}

// imageArchive is an archive in Docker's form of an image.
func imageArchive(t *testing.T, name string) []byte {
	t.Helper()
	layer := rootfs(t)
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Cmd": []string{"/bin/sleep", "1000"}, "Labels": map[string]string{"name": name}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	write(t, w, tar.Header{Name: "config.json", Mode: 0o644}, config)
	write(t, w, tar.Header{Name: "manifest.json", Mode: 0o644}, manifest)
	write(t, w, tar.Header{Name: "layer.tar", Mode: 0o644}, layer)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// cgroup is the control group above those of the test's containers.
func (s *containerdService) cgroup() string { return "/saker-test-" + filepath.Base(s.dir) }

// removeCgroups removes a control group of all hierarchies with what is below it.
func removeCgroups(t *testing.T, path string) {
	found, _ := filepath.Glob("/sys/fs/cgroup/*" + path)
	for _, top := range append(found, "/sys/fs/cgroup"+path) {
		var folders []string
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		for _, folder := range slices.Backward(folders) {
			eventually(t, "the control group is removed", func() error { return os.Remove(folder) })
		}
	}
}

func (s *containerdService) ctr(args ...string) string {
	s.t.Helper()
	return run(s.t, nil, "ctr", append([]string{"--address", s.socket}, args...)...)
}

// pod runs a pod with one container and returns the ids of both.
func (s *containerdService) pod(name string, privileged bool) (sandbox, id string) {
	t := s.t
	t.Helper()
	ctx := t.Context()
	node := &runtime.NamespaceOption{Network: runtime.NamespaceMode_NODE, Pid: runtime.NamespaceMode_NODE, Ipc: runtime.NamespaceMode_POD}
	config := &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: name, Namespace: "sales", Uid: "3e41dc6b-08a8-44db-bc2a-3724b18ab19a"},
		Labels:       map[string]string{"app": "shop", "io.kubernetes.pod.name": "shop-0"},
		Annotations:  map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"containers":[{"name":"web","livenessProbe":{"exec":{"command":["cat","/tmp/alive"]}},"readinessProbe":{"httpGet":{"port":80}}}]}}`},
		LogDirectory: s.dir,
		Linux: &runtime.LinuxPodSandboxConfig{
			CgroupParent:    s.cgroup(),
			SecurityContext: &runtime.LinuxSandboxSecurityContext{NamespaceOptions: node, Privileged: privileged},
		},
	}
	pod, err := s.cri.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	sandbox = pod.GetPodSandboxId()
	t.Cleanup(func() {
		if !s.removed[sandbox] {
			s.removePod(sandbox)
		}
	})
	made, err := s.cri.CreateContainer(ctx, &runtime.CreateContainerRequest{
		PodSandboxId: sandbox, SandboxConfig: config,
		Config: &runtime.ContainerConfig{
			Metadata: &runtime.ContainerMetadata{Name: "web"},
			Image:    &runtime.ImageSpec{Image: shopImage},
			Labels:   map[string]string{"tier": "front", "long": strings.Repeat("x", 101)},
			Mounts:   []*runtime.Mount{{HostPath: "/tmp", ContainerPath: "/data", Readonly: true}},
			Linux: &runtime.LinuxContainerConfig{
				SecurityContext: &runtime.LinuxContainerSecurityContext{NamespaceOptions: node, Privileged: privileged},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	id = made.GetContainerId()
	if _, err := s.cri.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	return sandbox, id
}

func (s *containerdService) removePod(id string) {
	ctx := context.Background() // the test's has ended when it cleans up
	_, _ = s.cri.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id})
	if _, err := s.cri.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		s.t.Error(err)
	}
}

func TestContainerdTellsOfPods(t *testing.T) {
	s := startContainerd(t)
	c, err := cri.Open(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sandbox, id := s.pod("shop-0", false)
	answer, err := s.cri.ContainerStatus(t.Context(), &runtime.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	ref := answer.GetStatus().GetImageRef()

	podLabels := map[string]string{"app": "shop", "io.kubernetes.pod.name": "shop-0"}
	names := map[string]string{
		"io.kubernetes.pod.name": "shop-0", "io.kubernetes.pod.namespace": "sales",
		"io.kubernetes.pod.uid": "3e41dc6b-08a8-44db-bc2a-3724b18ab19a", "io.kubernetes.sandbox.id": sandbox,
	}
	labels := map[string]string{"tier": "front"}
	maps.Copy(labels, names)
	want := &container.Info{
		ID: container.ID{Full: id, Engine: container.Containerd}, Name: "web",
		Image: shopImage, ImageRepository: "localhost:5000/saker/shop", ImageTag: "v2", ImageDigest: ref,
		Privileged: new(false), HostPID: new(true), HostNetwork: new(true), HostIPC: new(false),
		Labels: labels, PodLabels: podLabels,
		PodName: "shop-0", PodNamespace: "sales", PodUID: "3e41dc6b-08a8-44db-bc2a-3724b18ab19a", PodSandboxID: sandbox,
		Mounts:   []container.Mount{{Source: "/tmp", Dest: "/data", Propagation: "private"}},
		Liveness: "cat /tmp/alive",
	}
	want.ImageID = strings.TrimPrefix(ref, "sha256:")
	if want.ImageID == "" {
		t.Error("containerd tells no reference of the image")
	}
	inspected(t, c, want)
	listed(t, c, id, sandbox)
	if diff := cmp.Diff(&container.Info{
		ID: container.ID{Full: sandbox, Engine: container.Containerd}, Privileged: new(false),
		HostPID: new(true), HostNetwork: new(true), HostIPC: new(false),
		Labels: names, PodLabels: podLabels, Mounts: []container.Mount{},
		PodName: "shop-0", PodNamespace: "sales", PodUID: "3e41dc6b-08a8-44db-bc2a-3724b18ab19a", PodSandboxID: sandbox,
	}, inspect(t, c, sandbox)); diff != "" {
		t.Errorf("the sandbox is described differently (-want +got):\n%s", diff)
	}
	t.Run("a privileged one", func(t *testing.T) {
		_, id := s.pod("shop-1", true)
		if p := inspect(t, c, id).Privileged; p == nil || !*p {
			t.Error("it is not privileged")
		}
	})
	t.Run("one that is gone", func(t *testing.T) {
		s.removePod(sandbox)
		s.removed[sandbox] = true
		for _, id := range []string{id, sandbox} {
			if _, err := c.Inspect(t.Context(), id); !errors.Is(err, container.ErrUnknown) {
				t.Errorf("it is not unknown: %v", err)
			}
		}
	})
	t.Run("by events, or not at all", func(t *testing.T) {
		err := c.Watch(t.Context(), func(container.Change) {})
		if !errors.Is(err, container.ErrNoEvents) {
			t.Errorf("this containerd has no events of the kind: %v", err)
		}
	})
}

func TestContainerdTellsOfOtherNamespaces(t *testing.T) {
	s := startContainerd(t)
	c, err := containerd.Open(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := func(id string, options ...string) {
		args := append([]string{"run", "--detach", "--snapshotter", "native", "--cgroup", s.cgroup() + "/" + id}, options...)
		s.ctr(append(args, shopImage, id, "/bin/sleep", "1000")...)
		t.Cleanup(func() {
			s.ctr("tasks", "kill", "--signal", "KILL", id)
			eventually(t, "the container is removed", func() error {
				out, err := output(nil, "ctr", "--address", s.socket, "containers", "delete", id)
				if err != nil && !strings.Contains(out, "not found") {
					_, _ = output(nil, "ctr", "--address", s.socket, "tasks", "delete", id)
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		})
	}
	start("web", "--label", "app=shop", "--mount", "type=bind,src=/tmp,dst=/data,options=rbind:ro", "--net-host")
	digest := ""
	for line := range strings.Lines(s.ctr("images", "list")) {
		if f := strings.Fields(line); f[0] == shopImage {
			digest = f[2]
		}
	}
	info := inspect(t, c, "web")
	mount := container.Mount{}
	for _, m := range info.Mounts {
		if m.Dest == "/data" {
			mount = m
		}
	}
	if mount.Source != "/tmp" || mount.Writable {
		t.Errorf("the mount is %q", mount)
	}
	info.Mounts = nil
	if info.Labels["app"] != "shop" {
		t.Errorf("the labels are %v", info.Labels)
	}
	info.Labels = nil
	if diff := cmp.Diff(&container.Info{
		ID: container.ID{Full: "web", Engine: container.Containerd}, Name: "web",
		Image: shopImage, ImageRepository: "localhost:5000/saker/shop", ImageTag: "v2", ImageDigest: digest,
		Privileged: new(false), HostPID: new(false), HostNetwork: new(true), HostIPC: new(false),
		PodLabels: map[string]string{},
	}, info); diff != "" {
		t.Errorf("the container is described differently (-want +got):\n%s", diff)
	}
	listed(t, c, "web")
	if _, err := c.Inspect(t.Context(), "we"); !errors.Is(err, container.ErrUnknown) {
		t.Errorf("a container that is not there is not unknown: %v", err)
	}
	start("strong", "--privileged")
	if p := inspect(t, c, "strong").Privileged; p == nil || !*p {
		t.Error("the privileged container is not")
	}
	t.Run("a watcher hears of them at once", func(t *testing.T) {
		resolver := container.NewResolver(0)
		watch(t, runtimes.Config{LabelMaxLen: 100, Containerd: runtimes.Engine{Enabled: true, Sockets: []string{s.socket}}}, resolver)
		eventually(t, "those that run are known", func() error {
			if resolver.Len() < 2 {
				return errors.New("they are not")
			}
			return nil
		})
		start("later")
		eventually(t, "a new one is known", func() error {
			if resolver.Info(container.ID{Full: "later", Engine: container.Containerd}) == nil {
				return errors.New("it is not")
			}
			return nil
		})
	})
}
