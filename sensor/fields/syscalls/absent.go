package syscalls

import "github.com/saker-security/saker/sensor/fields"

// absentFields are those of Falco that no event of the sensor has a value for. Rules that name
// them load, and every comparison with one is false.
func absentFields() []fields.Field {
	absent := func(name string, t fields.Type, why string) fields.Field {
		f := eventField(name, t, "Always null: "+why+".", nothing)
		f.Events = []string{}
		return f
	}
	const (
		schedule = "the sensor does not watch the scheduler's switches"
		poll     = "the sensor does not watch poll"
		docker   = "container runtimes are asked, their events are none"
	)
	around := absent("evt.around", fields.Uint, "it picks a span of a recording by time, which `saker rules explain --num` does by number")
	around.Arg, around.NoRHS, around.NoTransform = fields.KeyArg, true, true
	quantized := absent("evt.latency.quantized", fields.Uint, noEnterEvents)
	quantized.Deprecated = noEnterEvents
	return []fields.Field{
		around, quantized,
		absent("thread.exectime", fields.Duration, schedule),
		absent("thread.totexectime", fields.Duration, schedule),
		absent("thread.cpu", fields.Uint, schedule),
		absent("thread.cpu.user", fields.Uint, schedule),
		absent("thread.cpu.system", fields.Uint, schedule),
		absent("fdlist.nums", fields.String, poll),
		absent("fdlist.names", fields.String, poll),
		absent("fdlist.cips", fields.String, poll),
		absent("fdlist.sips", fields.String, poll),
		absent("fdlist.cports", fields.String, poll),
		absent("fdlist.sports", fields.String, poll),
		absent("evt.infra.docker.name", fields.String, docker),
		absent("evt.infra.docker.container.id", fields.String, docker),
		absent("evt.infra.docker.container.name", fields.String, docker),
		absent("evt.infra.docker.container.image", fields.String, docker),
		absent("evt.pluginname", fields.String, "no plugin made the event, the kernel did"),
		absent("evt.plugininfo", fields.String, "no plugin made the event, the kernel did"),
		absent("evt.asynctype", fields.String, "every event is one of the kernel"),
	}
}
