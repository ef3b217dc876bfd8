package cri

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/saker-security/saker/sensor/container"
)

// verbose is the part of the runtime's own JSON that is looked at. Each runtime has its own
// form: containerd's has config and runtimeSpec, CRI-O's runtimeSpec and privileged.
type verbose struct {
	Privileged *bool
	Config     struct {
		Image struct{ Image string }
		Linux linux
	}
	RuntimeSpec struct {
		Annotations map[string]string
		Linux       linux
	}
	CNIResult struct {
		Interfaces map[string]json.RawMessage
	}
}

type linux struct {
	SecurityContext struct {
		Privileged *bool
	} `json:"security_context"`
}

// read returns nil when there is nothing to read.
func read(info map[string]string) *verbose {
	text := info["info"]
	if text == "" {
		return nil
	}
	v := &verbose{}
	// What does not have the expected form is left out; the rest has been read.
	_ = json.Unmarshal([]byte(text), v)
	return v
}

// privileged says whether the container is; a runtime that tells anything at all tells it
// when it is.
func (v *verbose) privileged() *bool {
	if v == nil {
		return nil
	}
	for _, p := range []*bool{v.RuntimeSpec.Linux.SecurityContext.Privileged, v.Config.Linux.SecurityContext.Privileged, v.Privileged} {
		if p != nil {
			return p
		}
	}
	no := false
	return &no
}

func (v *verbose) annotation(names ...string) string {
	if v != nil {
		for _, name := range names {
			if s := v.RuntimeSpec.Annotations[name]; s != "" {
				return s
			}
		}
	}
	return ""
}

// describe joins what the runtime says of a container and its pod. pod may be nil.
func describe(answer *runtime.ContainerStatusResponse, pod *runtime.PodSandboxStatusResponse) *container.Info {
	status, own := answer.GetStatus(), read(answer.GetInfo())
	info := &container.Info{
		Name:       status.GetMetadata().GetName(),
		Privileged: own.privileged(),
		Labels:     maps.Clone(status.GetLabels()),
	}
	if info.Labels == nil {
		info.Labels = map[string]string{}
	}
	for _, m := range status.GetMounts() {
		info.Mounts = append(info.Mounts, container.Mount{
			Source: m.GetHostPath(), Dest: m.GetContainerPath(), Writable: !m.GetReadonly(), Propagation: propagation(m.GetPropagation()),
		})
	}
	addImage(info, status, own)
	if pod != nil {
		addPod(info, pod)
	}
	info.PodFromLabels()
	return info
}

func propagation(p runtime.MountPropagation) string {
	switch p {
	case runtime.MountPropagation_PROPAGATION_PRIVATE:
		return "private"
	case runtime.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		return "rslave"
	case runtime.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		return "rshared"
	}
	return "unknown"
}

// addImage fills in name, parts and digest of the image. The reference is a digest alone, or
// a repository with one: then that names the repository, and the image the tag.
func addImage(info *container.Info, status *runtime.ContainerStatus, own *verbose) {
	asked, ref := status.GetImage().GetImage(), status.GetImageRef()
	name, tagged := asked, false
	switch at := strings.Index(ref, "sha256:"); {
	case at == 0:
		info.ImageDigest = ref
	case at > 0 && ref[at-1] == '@':
		name, info.ImageDigest, tagged = ref[:at-1], ref[at:], true
	}
	if name == "" || strings.HasPrefix(name, "sha256") {
		if s := own.annotation("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.Image", "io.kubernetes.cri-o.ImageName"); s != "" {
			name, tagged = s, false
		}
	}
	info.ImageRepository, info.ImageTag = container.Repository(name)
	if _, tag := container.Repository(asked); tagged && tag != "" && !strings.HasPrefix(asked, "sha256") {
		info.ImageTag = tag
		name += ":" + tag
	}
	info.Image = name
	// The kubelet asks for an image by its id.
	if own != nil {
		info.ImageID = imageID(own.Config.Image.Image)
	}
	info.ImageID = cmp.Or(info.ImageID, strings.TrimPrefix(status.GetImageId(), "sha256:"), imageID(ref))
}

// imageID returns the id in a reference that is one, empty otherwise.
func imageID(ref string) string {
	id, found := strings.CutPrefix(ref, "sha256:")
	if !found {
		return ""
	}
	return id
}

// addPod fills in what the container has of its pod: names, labels, address, namespaces.
func addPod(info *container.Info, answer *runtime.PodSandboxStatusResponse) {
	pod := answer.GetStatus()
	info.PodSandboxID = pod.GetId()
	info.Labels[container.LabelSandboxID] = pod.GetId()
	if m := pod.GetMetadata(); m != nil {
		info.Labels[container.LabelPodName] = m.GetName()
		info.Labels[container.LabelPodNamespace] = m.GetNamespace()
		info.Labels[container.LabelPodUID] = m.GetUid()
	}
	info.PodLabels = pod.GetLabels()
	info.PodFromLabels()
	if o := pod.GetLinux().GetNamespaces().GetOptions(); o != nil {
		info.HostPID = isNode(o.GetPid())
		info.HostNetwork = isNode(o.GetNetwork())
		info.HostIPC = isNode(o.GetIpc())
	}
	info.IP = pod.GetNetwork().GetIp()
	info.PodIP = info.IP
	info.CNI = network(read(answer.GetInfo()))
	info.Liveness, info.Readiness = probes(pod.GetAnnotations()[appliedAnnotation], info.Name)
}

func isNode(m runtime.NamespaceMode) *bool {
	node := m == runtime.NamespaceMode_NODE
	return &node
}

// network returns what the network plugin answered, without the loopback device and the far
// ends of the pod's devices.
func network(v *verbose) string {
	if v == nil {
		return ""
	}
	maps.DeleteFunc(v.CNIResult.Interfaces, func(name string, _ json.RawMessage) bool {
		return name == "lo" || strings.HasPrefix(name, "veth")
	})
	if len(v.CNIResult.Interfaces) == 0 {
		return v.annotation("io.kubernetes.cri-o.CNIResult")
	}
	text, err := json.Marshal(v.CNIResult.Interfaces)
	if err != nil {
		return ""
	}
	return string(text)
}

// appliedAnnotation holds the pod as kubectl apply has sent it.
const appliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"

// probe is a check that runs a command in the container.
type probe struct {
	Exec struct{ Command []string }
}

// probes returns the commands by which the kubelet checks the named container, as far as the
// pod's annotation tells.
func probes(applied, name string) (liveness, readiness string) {
	if applied == "" || name == "" {
		return "", ""
	}
	var pod struct {
		Spec struct {
			Containers []struct {
				Name                          string
				LivenessProbe, ReadinessProbe probe
			}
		}
	}
	if json.Unmarshal([]byte(applied), &pod) != nil {
		return "", ""
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == name {
			return strings.Join(c.LivenessProbe.Exec.Command, " "), strings.Join(c.ReadinessProbe.Exec.Command, " ")
		}
	}
	return "", ""
}
