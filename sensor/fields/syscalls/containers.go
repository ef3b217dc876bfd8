package syscalls

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
)

// info is what is known of the event's container, of the host outside of one; nil while the
// runtime has not told.
func (e *Event) info() *container.Info { return e.src.opt.Containers.Info(e.Proc.Container) }

func containerFields() []fields.Field {
	text := func(name, doc string, f func(*container.Info) string) fields.Field {
		return fields.Field{Name: name, Type: fields.String, Doc: doc, Late: true, Extract: extractor(func(e *Event) fields.Value {
			if info := e.info(); info != nil {
				return fields.Text(f(info))
			}
			return null
		})}
	}
	flag := func(name, doc string, f func(*container.Info) *bool) fields.Field {
		return fields.Field{Name: name, Type: fields.Bool, Doc: doc, Late: true, Extract: extractor(func(e *Event) fields.Value {
			if info := e.info(); info != nil && f(info) != nil {
				return fields.Boolean(*f(info))
			}
			return null
		})}
	}
	fs := []fields.Field{
		{
			Name: "container.id", Type: fields.String,
			Doc:     "First 12 characters of the container's id, host outside of containers.",
			Extract: extractor(func(e *Event) fields.Value { return fields.Text(e.Proc.Container.Short()) }),
		},
		{
			Name: "container.full_id", Type: fields.String,
			Doc: "The container's whole id, empty outside of containers.",
			Extract: extractor(func(e *Event) fields.Value {
				return fields.Text(e.Proc.Container.Full)
			}),
		},
		{
			Name: "container.type", Type: fields.String, Late: true,
			Doc: "Kind of runtime: podman, docker, cri, cri-o, containerd, lxc, libvirt-lxc, bpm or host; what the control group " +
				"tells until the runtime itself has told.",
			Extract: extractor(func(e *Event) fields.Value {
				if info := e.info(); info != nil && !info.ID.Host() {
					return fields.Text(info.ID.Engine.String())
				}
				return fields.Text(e.Proc.Container.Engine.String())
			}),
		},
		{
			Name: "container.start_ts", Type: fields.Time,
			Doc: "When the first process of the container started, in nanoseconds since the epoch; outside of containers that of the machine.",
			Extract: extractor(func(e *Event) fields.Value {
				ts := e.Proc.PidnsStart
				return fields.Value{Valid: ts != 0, Num: ts}
			}),
		},
		{
			Name: "container.duration", Type: fields.Duration,
			Doc: "Nanoseconds since the first process of the container started.",
			Extract: extractor(func(e *Event) fields.Value {
				ts := e.Proc.PidnsStart
				return fields.Value{Valid: ts != 0, Num: e.since(ts)}
			}),
		},
		text("container.name", "Name of the container, host outside of containers.",
			func(i *container.Info) string { return i.Name }),
		text("container.image", "Image of the container as it was asked for.",
			func(i *container.Info) string { return i.Image }),
		text("container.image.id", "Id of the container's image.",
			func(i *container.Info) string { return i.ImageID }),
		text("container.image.repository", "Repository of the container's image; empty outside of containers.",
			func(i *container.Info) string { return i.ImageRepository }),
		text("container.image.tag", "Tag of the container's image.",
			func(i *container.Info) string { return i.ImageTag }),
		text("container.image.digest", "Digest of the container's image.",
			func(i *container.Info) string { return i.ImageDigest }),
		text("container.healthcheck", "Command of the container's health check, NONE where the one of its image is switched off; "+
			"Docker and Podman tell it.",
			func(i *container.Info) string { return i.Healthcheck }),
		text("container.liveness_probe", "Command of the container's liveness probe, as kubectl apply has left it at the pod.",
			func(i *container.Info) string { return i.Liveness }),
		text("container.readiness_probe", "Command of the container's readiness probe, as kubectl apply has left it at the pod.",
			func(i *container.Info) string { return i.Readiness }),
		text("container.ip", "Address of the container, in a pod that of the pod.", func(i *container.Info) string { return i.IP }),
		text("container.cni.json", "What the network plugin answered for the container's pod, as JSON.",
			func(i *container.Info) string { return i.CNI }),
		flag("container.privileged", "Whether the container is privileged.",
			func(i *container.Info) *bool { return i.Privileged }),
		flag("container.host_pid", "Whether the container shares the host's pid namespace.",
			func(i *container.Info) *bool { return i.HostPID }),
		flag("container.host_network", "Whether the container shares the host's network namespace.",
			func(i *container.Info) *bool { return i.HostNetwork }),
		flag("container.host_ipc", "Whether the container shares the host's IPC namespace.",
			func(i *container.Info) *bool { return i.HostIPC }),
		label("container.label", "Value of a label of the container.", containerLabels),
		labels("container.labels", "Labels of the container, joined as key:value with commas.", containerLabels),
	}
	return slices.Concat(fs, mountFields(), healthFields())
}

func containerLabels(i *container.Info) map[string]string { return i.Labels }
func podLabels(i *container.Info) map[string]string       { return i.PodLabels }

// label is null where there is no such label.
func label(name, doc string, of func(*container.Info) map[string]string) fields.Field {
	return fields.Field{
		Name: name, Type: fields.String, Arg: fields.KeyArg, Doc: doc, Late: true,
		Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value {
			info := e.info()
			if info == nil {
				return null
			}
			v, ok := of(info)[a.Key]
			return fields.Value{Valid: ok, Str: v}
		}),
	}
}

// labels leaves out, as Falco does, those that say nothing of the container that another field
// does not say.
func labels(name, doc string, of func(*container.Info) map[string]string) fields.Field {
	return fields.Field{
		Name: name, Type: fields.String, Doc: doc, Late: true,
		Extract: extractor(func(e *Event) fields.Value {
			info := e.info()
			if info == nil {
				return null
			}
			m := of(info)
			keys := make([]string, 0, len(m))
			for k := range m {
				if !strings.HasPrefix(k, "io.kubernetes.") && !strings.HasPrefix(k, "annotation.") {
					keys = append(keys, k)
				}
			}
			slices.Sort(keys)
			from, b := len(e.text), e.text
			for _, k := range keys {
				if len(b) > from {
					b = append(b, ", "...)
				}
				b = append(b, k...)
				if m[k] != "" {
					b = append(append(b, ':'), m[k]...)
				}
			}
			return fields.Text(e.made(b, from))
		}),
	}
}

func mountFields() []fields.Field {
	part := func(name, doc string, f func(container.Mount) string) fields.Field {
		find := mountFinder(strings.HasSuffix(name, ".source"))
		return fields.Field{
			Name: name, Type: fields.String, Arg: fields.KeyArg, Doc: doc, Late: true,
			CheckArg: checkMountArg,
			Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value {
				info := e.info()
				if info == nil {
					return null
				}
				m, ok := find(info.Mounts, a.Key)
				if !ok {
					return null
				}
				return fields.Text(f(m))
			}),
		}
	}
	const which = " of the mount with the number in brackets, or else of the first whose source matches the regular expression there"
	return []fields.Field{
		{
			Name: "container.mounts", Type: fields.String, Late: true,
			Doc: "Mounts of the container as source:dest:mode:writable:propagation, joined by commas.",
			Extract: extractor(func(e *Event) fields.Value {
				info := e.info()
				if info == nil {
					return null
				}
				from, b := len(e.text), e.text
				for i, m := range info.Mounts {
					if i > 0 {
						b = append(b, ',')
					}
					b = append(b, m.String()...)
				}
				return fields.Text(e.made(b, from))
			}),
		},
		part("container.mount", "All five parts, joined by colons,"+which+".", container.Mount.String),
		part("container.mount.source", "Source of the mount with the number in brackets, or else of the first whose destination "+
			"matches the regular expression there.",
			func(m container.Mount) string { return m.Source }),
		part("container.mount.dest", "Destination"+which+".", func(m container.Mount) string { return m.Dest }),
		part("container.mount.mode", "Mode"+which+".", func(m container.Mount) string { return m.Mode }),
		part("container.mount.rdwr", "Whether the mount is writable, true or false,"+which+".",
			func(m container.Mount) string { return strconv.FormatBool(m.Writable) }),
		part("container.mount.propagation", "Propagation"+which+".",
			func(m container.Mount) string { return m.Propagation }),
	}
}

// mountPattern compiles the argument of container.mount.*: an expression that is searched
// for, not anchored.
func mountPattern(key string) (*regexp.Regexp, error) {
	pattern, err := regexp.Compile(key)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a number nor a regular expression: %w", key, err)
	}
	return pattern, nil
}

func checkMountArg(a fields.Arg) error {
	if _, err := strconv.ParseUint(a.Key, 10, 31); err == nil {
		return nil
	}
	_, err := mountPattern(a.Key)
	return err
}

// mountFinder returns a lookup by number or expression. Expressions come from rules, so
// there are only so many to remember.
func mountFinder(byDest bool) func([]container.Mount, string) (container.Mount, bool) {
	var patterns sync.Map // string to *regexp.Regexp
	return func(mounts []container.Mount, key string) (container.Mount, bool) {
		if i, err := strconv.ParseUint(key, 10, 31); err == nil {
			if int(i) < len(mounts) {
				return mounts[i], true
			}
			return container.Mount{}, false
		}
		p, ok := patterns.Load(key)
		if !ok {
			compiled, err := mountPattern(key)
			if err != nil {
				return container.Mount{}, false
			}
			p, _ = patterns.LoadOrStore(key, compiled)
		}
		for _, m := range mounts {
			side := m.Source
			if byDest {
				side = m.Dest
			}
			if p.(*regexp.Regexp).MatchString(side) {
				return m, true
			}
		}
		return container.Mount{}, false
	}
}

// podFields are null outside of pods, and while the runtime has not told.
func podFields() []fields.Field {
	text := func(name, doc string, f func(*container.Info) string) fields.Field {
		return fields.Field{Name: name, Type: fields.String, Doc: doc, Late: true, Extract: extractor(func(e *Event) fields.Value {
			info := e.info()
			if info == nil {
				return null
			}
			s := f(info)
			return fields.Value{Valid: s != "", Str: s}
		})}
	}
	fs := []fields.Field{
		text("k8s.pod.name", "Name of the pod.", func(i *container.Info) string { return i.PodName }),
		text("k8s.ns.name", "Namespace of the pod.", func(i *container.Info) string { return i.PodNamespace }),
		text("k8s.pod.uid", "Unique id of the pod.", func(i *container.Info) string { return i.PodUID }),
		text("k8s.pod.id", "Unique id of the pod, the same as k8s.pod.uid.", func(i *container.Info) string { return i.PodUID }),
		text("k8s.pod.sandbox_id", "First 12 characters of the id of the pod's sandbox.",
			func(i *container.Info) string { return i.PodSandboxID[:min(12, len(i.PodSandboxID))] }),
		text("k8s.pod.full_sandbox_id", "Id of the pod's sandbox.",
			func(i *container.Info) string { return i.PodSandboxID }),
		text("k8s.pod.ip", "Address of the pod.", func(i *container.Info) string { return i.PodIP }),
		text("k8s.pod.cni.json", "What the network plugin answered for the pod, as JSON.", func(i *container.Info) string { return i.CNI }),
		label("k8s.pod.label", "Value of a label of the pod.", podLabels),
		labels("k8s.pod.labels", "Labels of the pod, joined as key:value with commas.", podLabels),
	}
	const gone = "the sensor does not ask the API server, so it is always null"
	empty := func(any, fields.Arg) fields.Value { return null }
	for _, object := range []string{"rc", "svc", "rs", "deployment", "ns"} {
		for _, part := range []string{"name", "id", "label", "labels"} {
			if object == "ns" && part == "name" {
				continue
			}
			f := fields.Field{
				Name: "k8s." + object + "." + part, Type: fields.String, Extract: empty, Deprecated: gone,
				Doc: "Always null: a field of Falco's former Kubernetes client.",
			}
			if part == "label" {
				f.Arg = fields.KeyArg
			}
			fs = append(fs, f)
		}
	}
	return fs
}
