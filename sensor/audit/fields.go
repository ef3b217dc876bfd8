package audit

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/audit/document"
	"github.com/saker-security/saker/sensor/fields"
)

// SourceName is the name of this event source in rules.
const SourceName = "k8s_audit"

// NewRegistry returns the fields of audit events: those of Falco's plugins k8saudit and json,
// and the evt fields that every source has. The events are *Event.
func NewRegistry() *fields.Registry {
	all := append(evtFields(), jsonFields()...)
	all = append(all, requestFields()...)
	all = append(all, bindingFields()...)
	all = append(all, podFields()...)
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		all = append(all, containerFields(list)...)
	}
	return fields.NewRegistry(SourceName, append(all, oldFields()...))
}

// extract is an Extract of fields without argument.
func extract(f func(*Event) fields.Value) func(any, fields.Arg) fields.Value {
	return func(ev any, _ fields.Arg) fields.Value { return f(ev.(*Event)) }
}

// one is a field that is the value under the keys.
func one(name, doc string, keys ...string) fields.Field {
	return made(name, doc, func(e *Event) fields.Value { return text(e.get(keys...)) })
}

// made is a field that f makes.
func made(name, doc string, f func(*Event) fields.Value) fields.Field {
	return fields.Field{Name: name, Type: fields.String, Doc: doc, Extract: extract(f)}
}

// many is a field that is a list: the elements of the array under the keys.
func many(name, doc string, keys ...string) fields.Field {
	return fields.Field{
		Name: name, Type: fields.String, List: true, Doc: doc,
		Extract: extract(func(e *Event) fields.Value { return e.elements(e.get(keys...), -1) }),
	}
}

// indexed is a list of which one may be asked for by number.
func indexed(name, doc string, f func(e *Event, index int) fields.Value) fields.Field {
	return fields.Field{
		Name: name, Type: fields.String, List: true, Arg: fields.OptionalIndexArg, Doc: doc,
		Extract: func(ev any, a fields.Arg) fields.Value {
			if !a.Given {
				return f(ev.(*Event), -1)
			}
			return f(ev.(*Event), a.Index)
		},
	}
}

// elements is the list of an array's elements, or of the one called index unless that is
// negative.
func (e *Event) elements(array document.Node, index int) fields.Value {
	from := len(e.values)
	if index >= 0 {
		if n := array.Index(index); n.Exists() {
			e.add(n.Text())
		}
		return e.list(from)
	}
	for n := range array.Elements() {
		e.add(n.Text())
	}
	return e.list(from)
}

// jsonFields are those of the plugin json. They are there for any object, audit event or not.
func jsonFields() []fields.Field {
	var all []fields.Field
	for _, class := range []string{"jevt", "json"} {
		all = append(all, fields.Field{
			Name: class + ".value", Type: fields.String, Arg: fields.KeyArg,
			Doc: "Value that a JSON pointer (RFC 6901) finds in the event: a string as it is, anything else as JSON. Null if there is none.",
			Extract: func(ev any, a fields.Arg) fields.Value {
				return text(ev.(*Event).doc.Root().Pointer(a.Key))
			},
		},
			made(class+".obj", "The whole event as indented JSON.", func(e *Event) fields.Value {
				return fields.Text(indented(e.Text()))
			}),
			made(class+".rawtime", "Time of the event in nanoseconds since the epoch, as text.", func(e *Event) fields.Value {
				return fields.Text(strconv.FormatUint(e.stamp, 10))
			}))
	}
	return all
}

func indented(raw string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	// The text has been parsed, so that there is no error.
	_ = enc.Encode(json.RawMessage(raw))
	return strings.TrimSuffix(b.String(), "\n")
}

// requestFields are about the request itself.
func requestFields() []fields.Field {
	return []fields.Field{
		one("ka.auditid", "Id of the request; every stage of it has the same.", "auditID"),
		one("ka.stage", "Stage of the request: RequestReceived, ResponseStarted, ResponseComplete or Panic.", "stage"),
		one("ka.auth.decision", "What authorization decided: allow or forbid.", "annotations", "authorization.k8s.io/decision"),
		one("ka.auth.reason", "Why authorization decided so.", "annotations", "authorization.k8s.io/reason"),
		one("ka.auth.openshift.decision", "What OpenShift's authentication decided.", "annotations", "authentication.openshift.io/decision"),
		one("ka.auth.openshift.username", "User of OpenShift's authentication.", "annotations", "authentication.openshift.io/username"),
		one("ka.validations.admission.policy.failure", "What a validating admission policy objects to.", "annotations", "validation.policy.admission.k8s.io/validation_failure"),
		one("ka.security.pod.violations", "What violates the pod security standard that is audited.", "annotations", "pod-security.kubernetes.io/audit-violations"),
		one("ka.user.name", "User who made the request.", "user", "username"),
		many("ka.user.groups", "Groups of the user who made the request.", "user", "groups"),
		one("ka.impuser.name", "User as whom the request was made, if its user impersonates another.", "impersonatedUser", "username"),
		one("ka.verb", "What is done: get, list, watch, create, update, patch, delete or deletecollection.", "verb"),
		one("ka.uri", "Path and query of the request.", "requestURI"),
		{
			Name: "ka.uri.param", Type: fields.String, Arg: fields.KeyArg,
			Doc:     "First value of a parameter in the request's query.",
			Extract: func(ev any, a fields.Arg) fields.Value { return ev.(*Event).param(a.Key) },
		},
		one("ka.target.name", "Name of the object that the request is about.", "objectRef", "name"),
		one("ka.target.namespace", "Namespace of the object that the request is about.", "objectRef", "namespace"),
		one("ka.target.resource", "Kind of the object that the request is about, such as pods.", "objectRef", "resource"),
		one("ka.target.subresource", "Part of the object that the request is about, such as exec.", "objectRef", "subresource"),
		made("ka.target.pod.name", "Name of the pod in the response, of a request about a pod itself.", targetPod),
		one("ka.req.configmap.name", "Name of the object that the request is about, for a configmap.", "objectRef", "name"),
		one("ka.req.configmap.obj", "The data of a configmap, as JSON.", "requestObject", "data"),
		one("ka.req.service.type", "Type of a service.", "requestObject", "spec", "type"),
		indexed("ka.req.service.ports", "Ports of a service, each as JSON.", func(e *Event, index int) fields.Value {
			return e.elements(e.get("requestObject", "spec", "ports"), index)
		}),
		one("ka.resp.name", "Name of the object in the response.", "responseObject", "metadata", "name"),
		one("ka.response.code", "HTTP status of the response.", "responseStatus", "code"),
		one("ka.response.reason", "Why a request failed, in a word such as Forbidden.", "responseStatus", "reason"),
		one("ka.useragent", "Program that made the request, as it calls itself.", "userAgent"),
		indexed("ka.sourceips", "Addresses that the request came from, the client's first.", func(e *Event, index int) fields.Value {
			return e.elements(e.get("sourceIPs"), index)
		}),
		one("ka.cluster.name", "Name of the cluster, where the provider adds it.", "annotations", "cluster_name"),
	}
}

func targetPod(e *Event) fields.Value {
	if e.get("objectRef", "resource").Text() != "pods" || e.get("objectRef", "subresource").Text() != "" {
		return fields.Value{}
	}
	return text(e.get("responseObject", "metadata", "name"))
}

// uriParams are the parameters of the event's URI once one was asked for.
type uriParams struct {
	read   bool
	values url.Values
}

func (e *Event) param(key string) fields.Value {
	if !e.uri.read {
		e.uri.read = true
		_, query, _ := strings.Cut(e.get("requestURI").Text(), "?")
		query, _, _ = strings.Cut(query, "#")
		if values, err := url.ParseQuery(query); err == nil {
			e.uri.values = values
		}
	}
	if values := e.uri.values[key]; len(values) > 0 {
		return fields.Text(values[0])
	}
	return fields.Value{}
}

// bindingFields are about roles and their bindings.
func bindingFields() []fields.Field {
	subjects := func(name, doc, kind string, namespaced bool) fields.Field {
		return fields.Field{
			Name: "ka.req.binding.subjects." + name, Type: fields.String, List: true, Doc: doc,
			Extract: extract(func(e *Event) fields.Value { return e.subjects(kind, namespaced) }),
		}
	}
	rules := func(name, doc string) fields.Field {
		return indexed("ka.req.role.rules."+name, doc, func(e *Event, index int) fields.Value {
			return e.flat(index, "requestObject", "rules", name)
		})
	}
	return []fields.Field{
		many("ka.req.binding.subjects", "Whom a binding gives its role to, each as JSON.", "requestObject", "subjects"),
		subjects("user_names", "Users that a binding gives its role to.", "User", false),
		subjects("serviceaccount_names", "Service accounts that a binding gives its role to.", "ServiceAccount", false),
		subjects("serviceaccount_ns_names", "Service accounts that a binding gives its role to, as namespace:name.", "ServiceAccount", true),
		subjects("group_names", "Groups that a binding gives its role to.", "Group", false),
		one("ka.req.binding.role", "Name of the role that a binding gives.", "requestObject", "roleRef", "name"),
		many("ka.req.role.rules", "Rules of a role, each as JSON.", "requestObject", "rules"),
		rules("apiGroups", "API groups in the rules of a role."),
		rules("nonResourceURLs", "Paths in the rules of a role."),
		rules("verbs", "Verbs in the rules of a role."),
		rules("resources", "Resources in the rules of a role."),
	}
}

// subjects are the names of a binding's subjects of a kind.
func (e *Event) subjects(kind string, namespaced bool) fields.Value {
	from := len(e.values)
	for s := range e.get("requestObject", "subjects").Elements() {
		name, namespace := s.Get("name"), s.Get("namespace")
		switch {
		case s.Get("kind").Text() != kind || !name.Exists() || namespaced && !namespace.Exists():
		case namespaced:
			e.add(namespace.Text() + ":" + name.Text())
		default:
			e.add(name.Text())
		}
	}
	return e.list(from)
}
