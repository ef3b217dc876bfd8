package container

import (
	"maps"
	"slices"
	"strings"
)

// Limited returns the Info cut to the package's limits, with no more memory behind its texts
// than they need; labels with values of more than labelLength bytes are dropped.
func (i Info) Limited(labelLength int) *Info {
	for _, s := range []*string{
		&i.ID.Full, &i.Name, &i.Image, &i.ImageRepository, &i.ImageTag, &i.ImageDigest, &i.ImageID,
		&i.PodName, &i.PodNamespace, &i.PodUID, &i.PodSandboxID, &i.IP, &i.PodIP, &i.CNI,
		&i.Healthcheck, &i.Liveness, &i.Readiness,
	} {
		*s = clip(*s)
	}
	i.Labels = limitLabels(i.Labels, labelLength)
	i.PodLabels = limitLabels(i.PodLabels, labelLength)
	mounts := make([]Mount, min(len(i.Mounts), MaxMounts))
	for k := range mounts {
		m := i.Mounts[k]
		mounts[k] = Mount{clip(m.Source), clip(m.Dest), clip(m.Mode), m.Writable, clip(m.Propagation)}
	}
	i.Mounts = mounts
	return &i
}

func clip(s string) string { return strings.Clone(s[:min(len(s), MaxText)]) }

// limitLabels leaves out long ones. The names that Kubernetes gives to pods may be longer than
// the limit, and are what alerts are about: they stay.
func limitLabels(labels map[string]string, length int) map[string]string {
	out := make(map[string]string, min(len(labels), MaxLabels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		value := labels[name]
		named := name == LabelPodName || name == LabelPodNamespace || name == LabelPodUID || name == LabelSandboxID
		if len(value) > length && !named || len(name) > MaxText {
			continue
		}
		if len(out) == MaxLabels {
			break
		}
		out[strings.Clone(name)] = clip(value)
	}
	return out
}

// Estimates of what a label, a mount and an Info cost besides their texts, in bytes.
const (
	labelOverhead = 64
	mountOverhead = 80
	infoOverhead  = 640
)

// size is how much memory the Info takes, in bytes.
func (i *Info) size() int {
	n := infoOverhead + len(i.ID.Full) + len(i.Name) + len(i.Image) + len(i.ImageRepository) + len(i.ImageTag) +
		len(i.ImageDigest) + len(i.ImageID) + len(i.PodName) + len(i.PodNamespace) + len(i.PodUID) + len(i.PodSandboxID) +
		len(i.IP) + len(i.PodIP) + len(i.CNI) + len(i.Healthcheck) + len(i.Liveness) + len(i.Readiness)
	for _, labels := range []map[string]string{i.Labels, i.PodLabels} {
		for k, v := range labels {
			n += labelOverhead + len(k) + len(v)
		}
	}
	for _, m := range i.Mounts {
		n += mountOverhead + len(m.Source) + len(m.Dest) + len(m.Mode) + len(m.Propagation)
	}
	return n
}
