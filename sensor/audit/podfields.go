package audit

import (
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/audit/document"
	"github.com/saker-security/saker/sensor/fields"
)

// collect appends to e.nodes what stands under the keys, in each element of an array on the
// way, or in the one called index unless that is negative. An element that lacks it counts as
// a Node that does not exist. It says whether there was anything to look in.
func (e *Event) collect(n document.Node, index int, keys []string) bool {
	for i, key := range keys {
		if n.Kind() == document.Array {
			if index >= 0 {
				n = n.Index(index)
			} else {
				for element := range n.Elements() {
					if !e.collect(element, index, keys[i:]) {
						e.nodes = append(e.nodes, document.Node{})
					}
				}
				return true
			}
		}
		if n = n.Get(key); !n.Exists() {
			return false
		}
	}
	e.nodes = append(e.nodes, n)
	return true
}

// each returns what collect finds under the keys; good until the event's next extraction.
func (e *Event) each(index int, keys ...string) []document.Node {
	e.nodes = e.nodes[:0]
	e.collect(e.root, index, keys)
	return e.nodes
}

// texts are the texts of what is there under the keys.
func (e *Event) texts(index int, keys ...string) fields.Value {
	from := len(e.values)
	for _, n := range e.each(index, keys...) {
		if n.Exists() {
			e.add(n.Text())
		}
	}
	return e.list(from)
}

// flat are the elements of the arrays under the keys.
func (e *Event) flat(index int, keys ...string) fields.Value {
	from := len(e.values)
	for _, array := range e.each(index, keys...) {
		for n := range array.Elements() {
			e.add(n.Text())
		}
	}
	return e.list(from)
}

// spec is the place of a pod's specification with keys below it.
func spec(keys ...string) []string { return append([]string{"requestObject", "spec"}, keys...) }

// podFields are about a pod as a whole.
func podFields() []fields.Field {
	context := func(name, key, doc string) fields.Field {
		return one("ka.req.pod."+name, doc, spec("securityContext", key)...)
	}
	volumes := func(name, doc string, f func(e *Event, index int) fields.Value) fields.Field {
		return indexed("ka.req.pod.volumes."+name, doc, f)
	}
	return []fields.Field{
		one("ka.req.pod.host_ipc", "Whether a pod shares the host's IPC: true or false.", spec("hostIPC")...),
		one("ka.req.pod.host_network", "Whether a pod shares the host's network: true or false.", spec("hostNetwork")...),
		one("ka.req.pod.host_pid", "Whether a pod shares the host's processes: true or false.", spec("hostPID")...),
		context("run_as_user", "runAsUser", "User id that a pod sets for its containers."),
		context("run_as_group", "runAsGroup", "Group id that a pod sets for its containers."),
		context("fs_group", "fsGroup", "Group id that owns a pod's volumes."),
		many("ka.req.pod.supplemental_groups", "Further group ids of a pod's processes.", spec("securityContext", "supplementalGroups")...),
		volumes("hostpath", "Paths of the host that a pod mounts.", func(e *Event, index int) fields.Value {
			return e.texts(index, spec("volumes", "hostPath", "path")...)
		}),
		volumes("flexvolume_driver", "Drivers of a pod's flex volumes.", func(e *Event, index int) fields.Value {
			return e.texts(index, spec("volumes", "flexVolume", "driver")...)
		}),
		volumes("volume_type", "Types of a pod's volumes, such as hostPath.", volumeTypes),
	}
}

func volumeTypes(e *Event, index int) fields.Value {
	from := len(e.values)
	i := 0
	for volume := range e.get(spec("volumes")...).Elements() {
		if index < 0 || i == index {
			for name := range volume.Members() {
				if name != "name" {
					e.add(name)
				}
			}
		}
		i++
	}
	return e.list(from)
}

// containerFields are about the containers in one of a pod's lists.
func containerFields(list string) []fields.Field {
	what := map[string]string{
		"containers": "containers", "initContainers": "init containers", "ephemeralContainers": "ephemeral containers",
	}[list]
	field := func(name, doc string, f func(e *Event, index int) fields.Value) fields.Field {
		return indexed("ka.req.pod."+list+"."+name, strings.ReplaceAll(doc, "containers", what), f)
	}
	value := func(name, doc string, keys ...string) fields.Field {
		keys = spec(append([]string{list}, keys...)...)
		return field(name, doc, func(e *Event, index int) fields.Value { return e.texts(index, keys...) })
	}
	joined := func(name, doc string) fields.Field {
		return field(name, doc, func(e *Event, index int) fields.Value { return e.joined(index, spec(list, name)...) })
	}
	effective := func(name, key, doc string) fields.Field {
		return field(name, doc, func(e *Event, index int) fields.Value { return e.effective(index, list, key) })
	}
	const context = "securityContext"
	return []fields.Field{
		value("name", "Names of a pod's containers.", "name"),
		value("image", "Images of a pod's containers.", "image"),
		field("image.repository", "Images of a pod's containers up to the first colon, then up to the first @: of registry:5000/app:1 it is registry.",
			func(e *Event, index int) fields.Value { return e.repositories(index, list) }),
		joined("command", "Commands of a pod's containers, the parts of each joined by blanks."),
		joined("args", "Arguments of a pod's containers, those of each joined by blanks."),
		value("privileged", "Whether a pod's containers are privileged, of those that say so: true or false.", context, "privileged"),
		value("allow_privilege_escalation", "Whether a pod's containers may gain privileges, of those that say so: true or false.", context, "allowPrivilegeEscalation"),
		value("read_only_fs", "Whether the root file systems of a pod's containers are read-only, of those that say so: true or false.", context, "readOnlyRootFilesystem"),
		value("run_as_user", "User ids that a pod's containers set.", context, "runAsUser"),
		effective("eff_run_as_user", "runAsUser", "User ids with which a pod's containers start: their own, else the pod's, else 0."),
		value("run_as_group", "Group ids that a pod's containers set.", context, "runAsGroup"),
		effective("eff_run_as_group", "runAsGroup", "Group ids with which a pod's containers start: their own, else the pod's, else 0."),
		value("proc_mount", "How /proc is mounted in a pod's containers.", context, "procMount"),
		field("add_capabilities", "Capabilities that a pod's containers add.", func(e *Event, index int) fields.Value {
			return e.flat(index, spec(list, context, "capabilities", "add")...)
		}),
		field("host_port", "Ports of the host that a pod's containers use, or of the container where none is set.",
			func(e *Event, index int) fields.Value { return e.hostPorts(index, list) }),
	}
}

// repositories are the images without tag and digest.
func (e *Event) repositories(index int, list string) fields.Value {
	v := e.texts(index, spec(list, "image")...)
	for i := range v.List {
		repository, _, _ := strings.Cut(v.List[i].Str, ":")
		v.List[i].Str, _, _ = strings.Cut(repository, "@")
	}
	return v
}

// joined are the arrays under the keys, each joined by blanks.
func (e *Event) joined(index int, keys ...string) fields.Value {
	from := len(e.values)
	for _, array := range e.each(index, keys...) {
		if array.Kind() != document.Array {
			continue
		}
		var words []string
		for n := range array.Elements() {
			words = append(words, n.Text())
		}
		e.add(strings.Join(words, " "))
	}
	return e.list(from)
}

// effective are the ids with which containers start.
func (e *Event) effective(index int, list, key string) fields.Value {
	pod := "0"
	if n := e.get(spec("securityContext", key)...); n.Exists() {
		pod = n.Text()
	}
	from := len(e.values)
	for _, n := range e.each(index, spec(list, "securityContext", key)...) {
		if n.Exists() {
			e.add(n.Text())
		} else {
			e.add(pod)
		}
	}
	if index >= 0 && len(e.values) == from && e.get(spec(list)...).Index(index).Exists() {
		e.add(pod)
	}
	return e.list(from)
}

func (e *Event) hostPorts(index int, list string) fields.Value {
	from := len(e.values)
	for _, ports := range e.each(index, spec(list, "ports")...) {
		for port := range ports.Elements() {
			n := port.Get("hostPort")
			if !n.Exists() {
				n = port.Get("containerPort")
			}
			if n.Exists() {
				e.add(n.Text())
			}
		}
	}
	return e.list(from)
}

// oldFields are those that others have replaced.
func oldFields() []fields.Field {
	first := func(name, instead string, f func(e *Event, index int) fields.Value) fields.Field {
		return old(name, instead, "The first container's value of "+instead+".", func(e *Event) fields.Value {
			if v := f(e, 0); v.Valid {
				return v.List[0]
			}
			return fields.Value{}
		})
	}
	hostPath := old("ka.req.volume.hostpath", "ka.req.pod.volumes.hostpath",
		"Whether a pod mounts this path of the host: true or false. A * at the end stands for anything.", nil)
	hostPath.Arg, hostPath.Extract = fields.KeyArg, func(ev any, a fields.Arg) fields.Value { return ev.(*Event).mounts(a.Key) }
	hasName := old("ka.req.binding.subject.has_name", "ka.req.binding.subjects.user_names", "Always true.", nil)
	hasName.Arg, hasName.Extract = fields.KeyArg, func(ev any, _ fields.Arg) fields.Value {
		if !ev.(*Event).root.Exists() {
			return fields.Value{}
		}
		return fields.Text("true")
	}
	return []fields.Field{
		first("ka.req.container.image", "ka.req.pod.containers.image", func(e *Event, index int) fields.Value {
			return e.texts(index, spec("containers", "image")...)
		}),
		first("ka.req.container.image.repository", "ka.req.pod.containers.image.repository", func(e *Event, index int) fields.Value {
			return e.repositories(index, "containers")
		}),
		old("ka.req.container.host_network", "ka.req.pod.host_network", "Like ka.req.pod.host_network.",
			func(e *Event) fields.Value { return text(e.get(spec("hostNetwork")...)) }),
		old("ka.req.container.privileged", "ka.req.pod.containers.privileged", "Whether any container of a pod is privileged: true or false.",
			func(e *Event) fields.Value {
				found := e.each(-1, spec("containers", "securityContext", "privileged")...)
				if len(found) == 0 {
					return fields.Value{}
				}
				return truth(slices.ContainsFunc(found, func(n document.Node) bool { return n.Raw() == "true" }))
			}),
		hostPath, hasName,
	}
}

func old(name, instead, doc string, f func(*Event) fields.Value) fields.Field {
	field := made(name, doc, f)
	field.Deprecated = "use " + instead
	return field
}

func truth(b bool) fields.Value {
	if b {
		return fields.Text("true")
	}
	return fields.Text("false")
}

// mounts says whether a pod mounts a path of the host.
func (e *Event) mounts(path string) fields.Value {
	prefix, open := strings.CutSuffix(path, "*")
	found := e.each(-1, spec("volumes", "hostPath", "path")...)
	if len(found) == 0 {
		return fields.Value{}
	}
	return truth(slices.ContainsFunc(found, func(n document.Node) bool {
		return n.Exists() && (n.Text() == path || open && strings.HasPrefix(n.Text(), prefix))
	}))
}
