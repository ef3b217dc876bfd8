package cri

import (
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/saker-security/saker/sensor/container"
)

func TestPrivilegedIsFoundWhereEachRuntimeTellsIt(t *testing.T) {
	for info, want := range map[string]string{
		"":                    "unknown",
		`{}`:                  "no",
		`not JSON`:            "no",
		`{"privileged":true}`: "yes",
		`{"config":{"linux":{"security_context":{"privileged":true}}}}`:                                                                   "yes",
		`{"config":{"linux":{"security_context":{}}}}`:                                                                                    "no",
		`{"runtimeSpec":{"linux":{"security_context":{"privileged":false}}},"config":{"linux":{"security_context":{"privileged":true}}}}`: "no",
	} {
		got := "unknown"
		if p := read(map[string]string{"info": info}).privileged(); p != nil {
			got = map[bool]string{true: "yes", false: "no"}[*p]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", info, got, want)
		}
	}
}

func TestTheNetworkPluginsAnswerIsKeptWithoutWhatEveryPodHas(t *testing.T) {
	v := read(map[string]string{"info": `{"cniResult":{"Interfaces":{"eth0":{"IPConfigs":[{"IP":"10.0.0.7"}]},"lo":{},"veth12ab":{}}}}`})
	if got, want := network(v), `{"eth0":{"IPConfigs":[{"IP":"10.0.0.7"}]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("busybox:1", "docker.io/library/busybox@sha256:00", `{"privileged":true,"cniResult":{"Interfaces":{"eth0":{}}}}`, `{"spec":{"containers":[{"name":"web"}]}}`)
	f.Add("sha256:0", "sha256:0", `{"runtimeSpec":{"annotations":{"io.kubernetes.cri.image-name":"a:b@c"}}}`, "")
	f.Add("", "@sha256:", "[]", "{}")
	f.Fuzz(func(t *testing.T, image, ref, info, applied string) {
		got := describe(&runtime.ContainerStatusResponse{
			Status: &runtime.ContainerStatus{
				Metadata: &runtime.ContainerMetadata{Name: "web"}, Image: &runtime.ImageSpec{Image: image}, ImageRef: ref,
			},
			Info: map[string]string{"info": info},
		}, &runtime.PodSandboxStatusResponse{
			Status: &runtime.PodSandboxStatus{Id: "s", Annotations: map[string]string{appliedAnnotation: applied}},
			Info:   map[string]string{"info": info},
		}).Limited(container.DefaultLabelLength)
		if got.PodSandboxID != "s" || got.Labels[container.LabelSandboxID] != "s" || len(got.CNI) > container.MaxText {
			t.Errorf("described as %+v", got)
		}
	})
}
