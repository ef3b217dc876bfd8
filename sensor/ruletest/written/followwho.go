package written

import (
	"strings"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
)

// madeUp is the id of a container that was not given one.
const madeUp = "c0ffee5a8e12"

const hostID = "host"

var whoFollows = map[string]follower{
	"user.name": func(e *Event, _ fields.Arg) fields.Value {
		if n, ok := e.number("user.uid"); ok && n == 0 {
			return fields.Text("root")
		}
		return null
	},
	"user.uid": func(e *Event, _ fields.Arg) fields.Value {
		if v, ok := e.given["user.name"]; ok && v.Str == "root" {
			return fields.Unsigned(0)
		}
		return null
	},
	"container.image": func(e *Event, _ fields.Arg) fields.Value {
		repository, ok := e.text("container.image.repository")
		if !ok {
			return null
		}
		if tag, ok := e.text("container.image.tag"); ok {
			return fields.Text(repository + ":" + tag)
		}
		return fields.Text(repository)
	},
	"container.image.repository": func(e *Event, _ fields.Arg) fields.Value {
		repository, _ := container.Repository(e.given["container.image"].Str)
		return fields.Value{Valid: repository != "", Str: repository}
	},
	"container.image.tag": func(e *Event, _ fields.Arg) fields.Value {
		repository, tag := container.Repository(e.given["container.image"].Str)
		return fields.Value{Valid: repository != "", Str: tag}
	},
	"container.full_id": func(e *Event, _ fields.Arg) fields.Value {
		id := e.Field("container.id")
		if id.Valid && id.Str == hostID {
			return fields.Text("")
		}
		return id
	},
}

var whoUsual = map[string]follower{
	"user.loginuid":  constant(fields.Signed(-1)),
	"user.loginname": constant(fields.Text("<NA>")),
	"container.id": func(e *Event, _ fields.Arg) fields.Value {
		if e.onHost() {
			return fields.Text(hostID)
		}
		return fields.Text(madeUp)
	},
}

// onHost says that nothing was given of a container or a pod.
func (e *Event) onHost() bool {
	if id, ok := e.given["container.id"]; ok {
		return id.Valid && id.Str == hostID
	}
	for key, v := range e.given {
		if v.Valid && v.Str != hostID && ofTheHost(key) {
			return false
		}
	}
	return true
}

// ofTheHost says that the field is about the container or pod, or of the host.
func ofTheHost(name string) bool {
	return strings.HasPrefix(name, "container.") || strings.HasPrefix(name, "k8s.")
}
