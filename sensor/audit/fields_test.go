package audit_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/fields"
)

// pod is an event with what no recorded one has.
const pod = `{
 "kind": "Event", "auditID": "id-1", "stage": "ResponseComplete", "stageTimestamp": "2026-11-23T21:30:01.000000042Z",
 "requestURI": "/api/v1/x?command=sh&command=-c&container=a%20b&empty=", "verb": "create",
 "user": {"username": "jane", "groups": ["dev", "system:authenticated"]},
 "impersonatedUser": {"username": "root"}, "sourceIPs": ["10.0.0.1", "10.0.0.2"], "userAgent": "agent",
 "objectRef": {"resource": "pods", "namespace": "ns", "name": "ref", "apiVersion": "v1"},
 "responseStatus": {"code": 403, "reason": "Forbidden"},
 "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "", "cluster_name": "prod",
   "authentication.openshift.io/decision": "od", "authentication.openshift.io/username": "ou",
   "validation.policy.admission.k8s.io/validation_failure": "vf", "pod-security.kubernetes.io/audit-violations": "av"},
 "requestObject": {"spec": {
   "hostNetwork": true, "hostPID": false, "type": "NodePort",
   "ports": [{"port": 80, "x": [1, 2]}, {"port": 81}],
   "securityContext": {"runAsUser": 1000, "fsGroup": 5, "supplementalGroups": [7, 8]},
   "containers": [
     {"name": "a", "image": "registry:5000/app:1", "command": ["sh", "-c"], "args": ["x y", "z"],
      "securityContext": {"privileged": true, "runAsUser": 0, "capabilities": {"add": ["NET_RAW", "BPF"]}, "procMount": "Unmasked"},
      "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]},
     {"name": "b", "image": "repo/b@sha256:00", "securityContext": {"privileged": false, "allowPrivilegeEscalation": null}},
     {"name": "c", "image": "c"}],
   "initContainers": [{"name": "i", "image": "init:2"}],
   "ephemeralContainers": [],
   "volumes": [{"name": "v", "hostPath": {"path": "/etc", "type": ""}}, {"name": "w", "emptyDir": {}},
     {"name": "x", "flexVolume": {"driver": "d"}}, {"name": "y", "hostPath": {"path": "/var/log"}}]}},
 "responseObject": {"metadata": {"name": "made"}}
}`

const role = `{"kind":"Event","auditID":"id-2","stage":"ResponseComplete","stageTimestamp":"2026-11-23T21:30:00Z",
 "objectRef":{"resource":"configmaps","name":"cm"},
 "requestObject":{"data":{"k":"<v>"},"roleRef":{"name":"admin"},
 "rules":[{"verbs":["get","list"],"resources":["pods"],"apiGroups":[""]},{"verbs":["*"],"nonResourceURLs":["/metrics"]}],
 "subjects":[{"kind":"User","name":"u"},{"kind":"Group","name":"g"},{"kind":"ServiceAccount","name":"s","namespace":"n"},{"kind":"ServiceAccount","name":"t"}]}}`

// show is the value of a field, a list as [a|b], null as null.
func show(t *testing.T, e *audit.Event, name string) string {
	t.Helper()
	base, arg, given := strings.Cut(strings.TrimSuffix(name, "]"), "[")
	f, ok := audit.NewRegistry().Lookup(base)
	if !ok {
		t.Fatalf("there is no field %s", base)
	}
	a := fields.Arg{Given: given, Key: arg}
	for _, c := range arg {
		a.Index = a.Index*10 + int(c-'0')
	}
	v := f.Extract(e, a)
	switch {
	case !v.Valid:
		return "null"
	case f.Format != nil:
		return f.Format(v)
	case f.Type != fields.String:
		return strconv.FormatUint(v.Num, 10)
	case f.List:
		var all []string
		for _, x := range v.List {
			all = append(all, x.Str)
		}
		return "[" + strings.Join(all, "|") + "]"
	}
	return v.Str
}

func TestFieldsHaveTheValuesOfFalcosPlugins(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	for text, want := range map[string][]string{
		pod: {
			"ka.auditid", "id-1", "ka.stage", "ResponseComplete", "ka.verb", "create", "ka.user.name", "jane",
			"ka.user.groups", "[dev|system:authenticated]", "ka.impuser.name", "root", "ka.useragent", "agent",
			"ka.sourceips", "[10.0.0.1|10.0.0.2]", "ka.sourceips[1]", "[10.0.0.2]", "ka.sourceips[2]", "null",
			"ka.uri", "/api/v1/x?command=sh&command=-c&container=a%20b&empty=", "ka.uri.param[command]", "sh",
			"ka.uri.param[container]", "a b", "ka.uri.param[empty]", "", "ka.uri.param[none]", "null",
			"ka.target.name", "ref", "ka.target.namespace", "ns", "ka.target.resource", "pods", "ka.target.subresource", "null",
			"ka.target.pod.name", "made", "ka.resp.name", "made", "ka.response.code", "403", "ka.response.reason", "Forbidden",
			"ka.auth.decision", "allow", "ka.auth.reason", "", "ka.cluster.name", "prod", "ka.auth.openshift.decision", "od",
			"ka.auth.openshift.username", "ou", "ka.validations.admission.policy.failure", "vf", "ka.security.pod.violations", "av",
			"ka.req.pod.host_network", "true", "ka.req.pod.host_pid", "false", "ka.req.pod.host_ipc", "null", "ka.req.container.host_network", "true",
			"ka.req.pod.run_as_user", "1000", "ka.req.pod.run_as_group", "null", "ka.req.pod.fs_group", "5", "ka.req.pod.supplemental_groups", "[7|8]",
			"ka.req.service.type", "NodePort", "ka.req.service.ports", `[{"port":80,"x":[1,2]}|{"port":81}]`, "ka.req.service.ports[1]", `[{"port":81}]`,
			"ka.req.pod.containers.name", "[a|b|c]", "ka.req.pod.containers.image", "[registry:5000/app:1|repo/b@sha256:00|c]",
			"ka.req.pod.containers.image[1]", "[repo/b@sha256:00]", "ka.req.pod.containers.image[3]", "null",
			"ka.req.pod.containers.image.repository", "[registry|repo/b|c]", "ka.req.pod.containers.image.repository[0]", "[registry]",
			"ka.req.pod.containers.command", "[sh -c]", "ka.req.pod.containers.args", "[x y z]", "ka.req.pod.containers.args[1]", "null",
			"ka.req.pod.containers.privileged", "[true|false]", "ka.req.pod.containers.privileged[2]", "null",
			"ka.req.pod.containers.allow_privilege_escalation", "[null]", "ka.req.pod.containers.read_only_fs", "null",
			"ka.req.pod.containers.run_as_user", "[0]", "ka.req.pod.containers.eff_run_as_user", "[0|1000|1000]",
			"ka.req.pod.containers.eff_run_as_user[2]", "[1000]", "ka.req.pod.containers.eff_run_as_user[3]", "null",
			"ka.req.pod.containers.run_as_group", "null", "ka.req.pod.containers.eff_run_as_group", "[0|0|0]",
			"ka.req.pod.containers.proc_mount", "[Unmasked]", "ka.req.pod.containers.add_capabilities", "[NET_RAW|BPF]",
			"ka.req.pod.containers.host_port", "[8080|81]",
			"ka.req.pod.initContainers.image.repository", "[init]", "ka.req.pod.initContainers.privileged", "null",
			"ka.req.pod.ephemeralContainers.image", "null", "ka.req.pod.ephemeralContainers.eff_run_as_user", "null",
			"ka.req.pod.volumes.hostpath", "[/etc|/var/log]", "ka.req.pod.volumes.hostpath[0]", "[/etc]", "ka.req.pod.volumes.hostpath[1]", "null",
			"ka.req.pod.volumes.flexvolume_driver", "[d]", "ka.req.pod.volumes.volume_type", "[hostPath|emptyDir|flexVolume|hostPath]",
			"ka.req.pod.volumes.volume_type[1]", "[emptyDir]",
			"ka.req.volume.hostpath[/etc]", "true", "ka.req.volume.hostpath[/var/*]", "true", "ka.req.volume.hostpath[/usr]", "false",
			"ka.req.container.image", "registry:5000/app:1", "ka.req.container.image.repository", "registry", "ka.req.container.privileged", "true",
			"ka.req.binding.role", "null", "ka.req.binding.subjects", "null", "ka.req.binding.subjects.user_names", "null",
			"ka.req.role.rules", "null", "ka.req.role.rules.verbs", "null", "ka.req.binding.subject.has_name[x]", "true",
			"jevt.value[/objectRef/name]", "ref", "json.value[/responseStatus/code]", "403", "jevt.value[/responseObject]", `{"metadata":{"name":"made"}}`,
			"jevt.rawtime", "1795469401000000042", "json.rawtime", "1795469401000000042",
			"evt.time", "21:30:01.000000042", "evt.time.s", "21:30:01", "evt.datetime", "2026-11-23 21:30:01.000000042",
			"evt.time.iso8601", "2026-11-23T21:30:01.000000042+0000", "evt.rawtime.ns", "000000042", "evt.reltime", "000000000",
			"evt.source", "k8s_audit", "evt.pluginname", "k8saudit", "evt.type", "pluginevent", "evt.asynctype", "null", "evt.hostname", "null",
		},
		role: {
			"ka.req.binding.role", "admin", "ka.req.binding.subjects.user_names", "[u]", "ka.req.binding.subjects.group_names", "[g]",
			"ka.req.binding.subjects.serviceaccount_names", "[s|t]", "ka.req.binding.subjects.serviceaccount_ns_names", "[n:s]",
			"ka.req.role.rules.verbs", "[get|list|*]", "ka.req.role.rules.verbs[1]", "[*]", "ka.req.role.rules.resources", "[pods]",
			"ka.req.role.rules.apiGroups", "[]", "ka.req.role.rules.nonResourceURLs", "[/metrics]",
			"ka.req.configmap.name", "cm", "ka.req.configmap.obj", `{"k":"<v>"}`, "ka.target.pod.name", "null", "ka.req.container.privileged", "null",
			"ka.req.container.image", "null", "ka.req.pod.volumes.hostpath", "null", "ka.req.volume.hostpath[/etc]", "null",
		},
		// JSON without an auditID is no audit event; only the plugin json looks at it.
		`{"stageTimestamp":"2026-11-23T21:30:00Z","verb":"get","a":[{"b":1}]}`: {
			"ka.verb", "null", "ka.req.binding.subject.has_name[x]", "null", "jevt.value[/verb]", "get", "jevt.value[/a/0/b]", "1",
			"jevt.obj", "{\n  \"stageTimestamp\": \"2026-11-23T21:30:00Z\",\n  \"verb\": \"get\",\n  \"a\": [\n    {\n      \"b\": 1\n    }\n  ]\n}",
		},
	} {
		var e audit.Event
		if err := e.Read(text); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(want); i += 2 {
			if got := show(t, &e, want[i]); got != want[i+1] {
				t.Errorf("%s is %q, want %q", want[i], got, want[i+1])
			}
		}
	}
}

func TestEveryFieldCopesWithEveryShape(t *testing.T) {
	shapes := []string{
		`null`, `7`, `"text"`, `[]`, `{}`, `[null, 7, "x", [], {}]`, `{"containers": 7}`, `{"containers": {"image": 1}}`,
		`{"containers":[[{"image":"x"}]]}`, `{"metadata":7,"containers":[null]}`, `{"securityContext":[],"containers":[{"securityContext":"x"}]}`,
	}
	var e audit.Event
	for _, shape := range shapes {
		text := `{"auditID":"x","stageTimestamp":"2026-11-23T21:30:00Z","requestObject":{"spec":` + shape + `,"rules":` + shape +
			`,"subjects":` + shape + `,"data":` + shape + `},"objectRef":` + shape + `,"user":` + shape + `,"annotations":` + shape +
			`,"responseObject":` + shape + `,"sourceIPs":` + shape + `,"requestURI":` + shape + `}`
		if err := e.Read(text); err != nil {
			t.Fatal(err)
		}
		for _, f := range audit.NewRegistry().All() {
			for _, a := range []fields.Arg{{}, {Given: true, Key: "0"}, {Given: true, Index: 3, Key: "/x/*"}} {
				v := f.Extract(&e, a)
				if v.Valid && f.List && len(v.List) == 0 {
					t.Errorf("%s is an empty list for %s, want null", f.Name, shape)
				}
				if !v.Valid && (v.Str != "" || v.List != nil) {
					t.Errorf("%s is null with a value for %s", f.Name, shape)
				}
			}
		}
	}
}

func TestWhatIsNoAuditEventIsRefused(t *testing.T) {
	var e audit.Event
	for _, text := range []string{
		"", "7", "[]", "{}", `{"stageTimestamp":7}`, `{"stageTimestamp":"yesterday"}`, `{"auditID":"x"`,
		`{"stageTimestamp":"2026-11-23T21:30:00Z","x":"` + strings.Repeat("y", audit.MaxEventBytes) + `"}`,
	} {
		if err := e.Read(text); err == nil {
			t.Errorf("%.60q is taken", text)
		}
	}
}

func TestTimesBetweenEventsAreNeverNegative(t *testing.T) {
	var e audit.Event
	at := func(second string) {
		if err := e.Read(`{"auditID":"x","stageTimestamp":"2026-11-23T21:30:` + second + `Z"}`); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ second, first, previous string }{
		{"05", "000000000", "0"}, {"06.5", "1500000000", "1500000000"}, {"04", "000000000", "0"}, {"06", "1000000000", "2000000000"},
	} {
		at(step.second)
		if first, previous := show(t, &e, "evt.reltime"), show(t, &e, "evt.deltatime"); first != step.first || previous != step.previous {
			t.Errorf("at %s it is %s since the first and %s since the previous event", step.second, first, previous)
		}
	}
}

func TestAnAlertHasOneIDHoweverOftenItsEventComes(t *testing.T) {
	var a, b audit.Event
	for _, e := range []*audit.Event{&a, &b} {
		if err := e.Read(role); err != nil {
			t.Fatal(err)
		}
	}
	if a.AlertID("r") != b.AlertID("r") || a.AlertID("r") == a.AlertID("s") {
		t.Error("the id does not follow from event and rule")
	}
	// The audit ID is the client's to choose, so that it must not decide alone.
	if err := b.Read(strings.Replace(role, `"admin"`, `"other"`, 1)); err != nil {
		t.Fatal(err)
	}
	if a.AlertID("r") == b.AlertID("r") {
		t.Error("two events of one audit ID are one alert")
	}
}

func TestEventsOfTestsAreReadOneAfterTheOther(t *testing.T) {
	const bare = `{"auditID":"x","stageTimestamp":"2026-11-23T21:30:09Z"}`
	events, err := audit.ReadEvents([]byte(event1 + "\n[" + event1 + "]\n" + bare))
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	last := events[2].(*audit.Event)
	if num, since := show(t, last, "evt.num"), show(t, last, "evt.reltime.s"); num != "3" || since != "8" {
		t.Errorf("the last one has the number %s and is %s s after the first", num, since)
	}
	for _, text := range []string{"7", "{", `{"kind":"Pod"}`, `{"auditID":"x"}`, event1 + "x"} {
		if _, err := audit.ReadEvents([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{pod, role, event1, `[` + event1 + `]`, `{"kind":"EventList","items":[` + event1 + `,7]}`, `[[[[[]]]]]`} {
		f.Add(s)
	}
	registry := audit.NewRegistry().All()
	f.Fuzz(func(t *testing.T, body string) {
		events, err := audit.Split(body)
		if err != nil && len(events) > 0 {
			t.Fatal("events beside an error")
		}
		var e audit.Event
		for _, text := range append(events, body) {
			if e.Read(text) != nil {
				continue
			}
			for _, field := range registry {
				field.Extract(&e, fields.Arg{})
				field.Extract(&e, fields.Arg{Given: true, Index: 1, Key: "/requestObject/spec/0"})
			}
		}
	})
}
