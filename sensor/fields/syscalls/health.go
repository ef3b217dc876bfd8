package syscalls

import (
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/process"
)

// healthFields tell the processes by which a container's health is checked from its own.
func healthFields() []fields.Field {
	check := func(name, what string, command func(*container.Info) string) fields.Field {
		return eventField(name, fields.Bool, "Whether the process, or the one in the container that it descends from, is the "+what+".",
			func(e *Event) fields.Value {
				info := e.info()
				if info == nil || e.Proc.Container.Host() {
					return null
				}
				want := command(info)
				return fields.Boolean(want != "" && e.entered().Image.Exeline == want)
			})
	}
	return []fields.Field{
		check("proc.is_container_healthcheck", "container's health check", func(i *container.Info) string { return i.Healthcheck }),
		check("proc.is_container_liveness_probe", "container's liveness probe", func(i *container.Info) string { return i.Liveness }),
		check("proc.is_container_readiness_probe", "container's readiness probe", func(i *container.Info) string { return i.Readiness }),
	}
}

// entered is the process that came into the container from outside of it, from which the
// event's process descends.
func (e *Event) entered() *process.Process {
	first := e.Proc
	for p := range e.table().Ancestors(e.Proc) {
		if p.Container != e.Proc.Container {
			break
		}
		first = p
	}
	return first
}
