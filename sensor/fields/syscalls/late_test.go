package syscalls_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

const fullID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// shop is a container of which everything is known.
func shop() *container.Info {
	yes := true
	return &container.Info{
		ID: container.ID{Full: fullID, Engine: container.Containerd}, Name: "web",
		Image: "nginx:1", ImageRepository: "nginx", ImageTag: "1", ImageDigest: "sha256:1", ImageID: "2",
		Privileged: &yes, HostPID: &yes, HostNetwork: &yes, HostIPC: &yes,
		Labels:    map[string]string{"app": "shop", "empty": "", "io.kubernetes.pod.name": "shop-0", "annotation.x": "y"},
		PodLabels: map[string]string{"tier": "front", "io.kubernetes.pod.name": "shop-0"},
		PodName:   "shop-0", PodNamespace: "sales", PodUID: "u-1", PodSandboxID: fullID, IP: "10.0.0.7", PodIP: "10.0.0.7", CNI: "{}",
		Mounts:      []container.Mount{{Source: "/a", Dest: "/b"}},
		Healthcheck: "/bin/check -q", Liveness: "cat /alive", Readiness: "cat /ready",
	}
}

// inShop is a program that is executed in the container.
func inShop(pid, parent int32, argv ...string) *probe.Record {
	rec := exec(pid, parent, argv...)
	rec.Exec.Cgroup = "/kubepods/pod1/" + fullID
	return rec
}

func TestLateFieldsNeedTheContainerAlone(t *testing.T) {
	w := newWorld(t)
	ev := w.Event(inShop(11, 1, "/bin/cat"))
	w.containers.Store(shop())
	stub := w.Late(ev.Proc.Container)
	checked := 0
	for _, f := range w.Registry().All() {
		inFamily := strings.HasPrefix(f.Name, "container.") || strings.HasPrefix(f.Name, "k8s.")
		if !f.Late {
			known := []string{"container.id", "container.full_id", "container.start_ts", "container.duration"}
			if inFamily && f.Deprecated == "" && !slices.Contains(known, f.Name) {
				t.Errorf("%s comes from the runtime and is not marked as late", f.Name)
			}
			continue
		}
		arg := fields.Arg{}
		if f.Arg != fields.NoArg {
			arg = fields.Arg{Given: true, Key: "0"}
		}
		if diff := cmp.Diff(text(f, f.Extract(ev, arg)), text(f, f.Extract(stub, arg))); diff != "" {
			t.Errorf("%s: -event +container alone: %s", f.Name, diff)
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("only %d fields are late", checked)
	}
	if got := text(&fields.Field{}, must(w, t, "container.name").Extract(w.Late(container.ID{Full: "x", Engine: container.Docker}), fields.Arg{})); got != "null" {
		t.Errorf("the name of an unknown container is %s", got)
	}
}

func must(w world, t *testing.T, name string) *fields.Field {
	t.Helper()
	f, ok := w.Registry().Lookup(name)
	if !ok {
		t.Fatalf("there is no field %s", name)
	}
	return f
}

func TestWhatTheRuntimeTellsIsShownAsFalcoDoes(t *testing.T) {
	w := newWorld(t)
	w.check(inShop(11, 1, "/bin/cat"), want{"container.type", `"cri"`})
	w.containers.Store(shop())
	w.check(inShop(11, 1, "/bin/cat"), want{
		"container.type", `"containerd"`, "container.labels", `"app:shop, empty"`, "container.label[io.kubernetes.pod.name]", `"shop-0"`,
		"k8s.pod.labels", `"tier:front"`, "k8s.pod.id", `"u-1"`, "k8s.pod.uid", `"u-1"`, "container.ip", `"10.0.0.7"`, "k8s.pod.ip", `"10.0.0.7"`,
		"container.cni.json", `"{}"`, "k8s.pod.cni.json", `"{}"`, "container.healthcheck", `"/bin/check -q"`,
		"container.liveness_probe", `"cat /alive"`, "container.readiness_probe", `"cat /ready"`,
	})
}

func TestChecksOfAContainersHealthAreToldFromItsOwnProcesses(t *testing.T) {
	w := newWorld(t)
	w.check(inShop(11, 1, "/bin/check", "-q"), want{"proc.is_container_healthcheck", "null"})
	w.containers.Store(shop())
	expect := func(rec *probe.Record, health, live, ready string) {
		t.Helper()
		w.check(rec, want{
			"proc.is_container_healthcheck", health, "proc.is_container_liveness_probe", live, "proc.is_container_readiness_probe", ready,
		})
	}
	expect(inShop(12, 1, "/bin/check", "-q"), "true", "false", "false")
	expect(inShop(13, 12, "sh", "-c", "x"), "true", "false", "false")
	expect(inShop(14, 1, "cat", "/alive"), "false", "true", "false")
	expect(inShop(15, 1, "cat", "/ready"), "false", "false", "true")
	expect(inShop(16, 1, "cat", "/etc/shadow"), "false", "false", "false")
	expect(inShop(17, 16, "cat", "/alive"), "false", "false", "false")
	expect(exec(18, 1, "cat", "/alive"), "null", "null", "null")
}
