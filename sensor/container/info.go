package container

import (
	"strconv"
	"strings"
)

// Info is what is known of a container besides its id. A nil pointer means that the runtime
// did not tell, an empty text or map that there is nothing.
//
// An Info is not changed once it has been stored: whoever learns more stores a new one.
type Info struct {
	// ID is the container's id; its engine is the runtime that told.
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
	// CNI is what the network plugin answered, as JSON; empty outside of pods.
	CNI string
	// Mounts are the container's mounts.
	Mounts []Mount
	// Healthcheck, Liveness and Readiness are the commands of the probes, joined by spaces;
	// empty for none.
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

// The labels that name a container's pod. Kubernetes sets the first three on every container
// of a pod, the fourth is the sandbox's id.
const (
	LabelPodName      = "io.kubernetes.pod.name"
	LabelPodNamespace = "io.kubernetes.pod.namespace"
	LabelPodUID       = "io.kubernetes.pod.uid"
	LabelSandboxID    = "io.kubernetes.sandbox.id"
)

// PodFromLabels fills in what the container's labels say of its pod.
func (i *Info) PodFromLabels() {
	i.PodName, i.PodNamespace = i.Labels[LabelPodName], i.Labels[LabelPodNamespace]
	i.PodUID = i.Labels[LabelPodUID]
	if id := i.Labels[LabelSandboxID]; id != "" {
		i.PodSandboxID = id
	}
}

// Limits on what is kept of one container. A runtime's answer holds what whoever started the
// container wrote into it.
const (
	// DefaultLabelLength is how many bytes the value of a label may have; labels with longer
	// ones are dropped, as in Falco.
	DefaultLabelLength = 100
	// MaxLabels is how many labels of a container or pod are kept, the first by name, and
	// MaxMounts how many mounts.
	MaxLabels, MaxMounts = 256, 256
	// MaxText is how many bytes of any one text are kept.
	MaxText = 4096
)

// Repository splits the name of an image into its repository and tag. A digest is left out,
// and a colon before the last slash is that of a registry's port.
func Repository(image string) (repository, tag string) {
	image, _, _ = strings.Cut(image, "@")
	colon := strings.LastIndexByte(image, ':')
	if colon < 0 || colon < strings.LastIndexByte(image, '/') {
		return image, ""
	}
	return image[:colon], image[colon+1:]
}

// Healthcheck returns the command of a health check as Docker and Podman declare it: NONE, or
// a kind and words.
func Healthcheck(test []string) string {
	if len(test) == 0 {
		return ""
	}
	switch test[0] {
	case "NONE":
		return "NONE"
	case "CMD":
		return strings.Join(test[1:], " ")
	case "CMD-SHELL":
		return "/bin/sh -c " + strings.Join(test[1:], " ")
	}
	return ""
}

var no = false

// host is what is known of the machine itself when it is asked for like a container.
var host = Info{
	Name: HostID, Privileged: &no, HostPID: &no, HostNetwork: &no, HostIPC: &no,
	Labels: map[string]string{}, PodLabels: map[string]string{}, Mounts: []Mount{},
}
