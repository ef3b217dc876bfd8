package migrate

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
)

// difference is a key whose meaning is not the same in Falcosidekick.
type difference struct {
	// key is its path; * stands for what is between two dots, and **. for any section.
	key string
	// except are paths that the key fits and that are not meant.
	except []string
	// check looks at a value that is not empty. It returns what there is to say, "" for
	// nothing.
	check func(value *yaml.Node) (text string)
	// value returns the text to write in place of the value, and whether to write it. It is
	// asked only when check had something to say; nil leaves the value alone.
	value func(value *yaml.Node) (string, bool)
}

// differences are looked at in their order; all that fit a key count.
var differences = []difference{
	{
		key: "**.minimumpriority", except: []string{"otlp.logs.minimumpriority", "otlp.traces.minimumpriority"},
		check: checkPriority, value: repairPriority,
	},
	{key: "otlp.*.minimumpriority", check: checkUnknownPriority, value: repairPriority},
	{key: "**.maxconcurrentrequests", check: is("0",
		"0 is no limit in Falcosidekick; here it is as many requests as the destination takes, at most 64")},
	{key: "listenaddress", check: is("localhost",
		"Falcosidekick logs that a name is no address and goes on; here it must be an IP address"), value: to("127.0.0.1")},
	{key: "customfields", check: checkPercent},
	{key: "customtags", check: checkPercent},
	{key: "customfields", check: checkNames},
	{key: "templatedfields", check: checkNames},
	{key: "cloudevents.extensions", check: checkNames},
	{key: "gcp.pubsub.customattributes", check: checkNames},
	{key: "otlp.*.extraenvvars", check: checkNames},
	{key: "alertmanager.extralabels", check: checkNames},
	{key: "alertmanager.extraannotations", check: checkNames},
	{key: "alertmanager.extralabels", check: isText("Falcosidekick takes only a map in the file, so that these labels were not set; now they are")},
	{key: "alertmanager.extraannotations", check: isText("Falcosidekick takes only a map in the file, so that these annotations were not set; now they are")},
	{key: "alertmanager.customseveritymap", check: checkSeverities},
	{key: "alertmanager.dropeventthresholds", check: checkThresholds, value: repairThresholds},
	{key: "alertmanager.endpoint", check: is("/api/v1/alerts",
		"Alertmanager has dropped version 1 of its API with 0.27, and has had version 2 since 0.16"), value: to("/api/v2/alerts")},
	{key: "quickwit.apiendpoint", check: begins("/", "Falcosidekick makes two slashes of the first one; here it is one")},
	{key: "logstash.tls", check: is("true",
		"logstash.checkcert is false unless it is set, as in Falcosidekick, whose documentation says true: the server's certificate is not checked")},
	{key: "otlp.*.protocol", check: is("http/json", "Falcosidekick sends protobuf all the same, and so does Saker")},
	{key: "yandex.region", check: is("ru-central-1", "there is no such region; Falcosidekick's documentation misspells it"), value: to("ru-central1")},
	{key: "slack.outputformat", check: is("field", misspelledFormat), value: to("fields")},
	{key: "rocketchat.outputformat", check: is("field", misspelledFormat), value: to("fields")},
	{key: "mattermost.outputformat", check: is("field", misspelledFormat), value: to("fields")},
}

const misspelledFormat = "Falcosidekick's documentation says field, which it then takes for all; it is fields"

// ignored are keys that Falcosidekick reads and makes no use of. Whether they have an effect
// here, the registry says.
var ignored = []string{
	"aws.accesskeyid", "aws.externalid", "aws.region", "aws.rolearn", "aws.secretaccesskey",
	"cloudevents.checkcert", "cloudevents.mutualtls",
	"gcp.workloadidentity",
	"nats.checkcert", "nats.mutualtls",
	"otlp.logs.synced", "otlp.metrics.minimumpriority",
	"pagerduty.checkcert", "pagerduty.mutualtls", "pagerduty.region",
	"policyreport.prunebypriority",
	"redis.version", "rocketchat.footer", "splunk.mutualtls",
	"stan.checkcert", "stan.mutualtls",
}

// misspelled are keys and sections as Falcosidekick's documentation has them, and what it
// reads.
var misspelled = map[string]string{
	"dogstastd":             "dogstatsd",
	"dogstatsd.forwarded":   "dogstatsd.forwarder",
	"dogstatsd.tag":         "dogstatsd.tags",
	"dynatrace.api_token":   "dynatrace.apitoken",
	"influxdb.organisation": "influxdb.organization",
	"kafka.tsl":             "kafka.tls",
	"spyperbat":             "spyderbat",
}

// fileOnly are keys that Falcosidekick takes from the environment only if the file has them,
// too, or not at all.
var fileOnly = []string{
	"elasticsearch.customheaders", "gcp.workloadidentity", "grafana.customheaders", "grafanaoncall.customheaders",
	"logstash.tls", "nats.minimumpriority", "nodered.customheaders", "nodered.maxconcurrentrequests", "nodered.mutualtls",
	"openobserve.customheaders", "otlp.logs.extraenvvars", "otlp.logs.synced", "quickwit.customheaders",
	"redis.cacertfile", "redis.certfile", "redis.keyfile", "redis.tls", "redis.username", "redis.version",
	"stan.minimumpriority", "statsd.tags", "tekton.maxconcurrentrequests", "tekton.mutualtls",
	"wavefront.flushintervalseconds", "yandex.s3.minimumpriority",
}

// concerns reports whether a key of the table stands for path.
func concerns(key, at string) bool {
	if name, any := strings.CutPrefix(key, "**."); any {
		return strings.HasSuffix(at, "."+name)
	}
	if strings.Count(key, ".") != strings.Count(at, ".") {
		return false
	}
	fits, err := path.Match(strings.ReplaceAll(key, ".", "/"), strings.ReplaceAll(at, ".", "/"))
	return err == nil && fits
}

// concerns reports whether the difference is one of the key at path.
func (d difference) concerns(at string) bool {
	return concerns(d.key, at) && !slices.Contains(d.except, at)
}

// is says text of one value.
func is(value, text string) func(*yaml.Node) string {
	return func(n *yaml.Node) string {
		if n.Kind == yaml.ScalarNode && strings.EqualFold(strings.TrimSpace(n.Value), value) {
			return text
		}
		return ""
	}
}

// to writes a fixed value.
func to(value string) func(*yaml.Node) (string, bool) {
	return func(*yaml.Node) (string, bool) { return value, true }
}

// begins says text of values with a prefix.
func begins(prefix, text string) func(*yaml.Node) string {
	return func(n *yaml.Node) string {
		if n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Value, prefix) {
			return text
		}
		return ""
	}
}

// isText says text of a value that is no map.
func isText(text string) func(*yaml.Node) string {
	return func(n *yaml.Node) string {
		if n.Kind == yaml.ScalarNode {
			return text
		}
		return ""
	}
}

// checkPriority finds values that Falcosidekick takes for "everything".
func checkPriority(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	p, ok := event.ParsePriority(n.Value)
	switch {
	case !ok:
		return fmt.Sprintf("Falcosidekick takes %q for everything; it is no priority, and here everything is the empty text", shown(n.Value))
	case !strings.EqualFold(n.Value, p.String()):
		return fmt.Sprintf("Falcosidekick takes %q for everything; here it is %s", n.Value, strings.ToLower(p.String()))
	default:
		return ""
	}
}

// checkUnknownPriority is for outputs for which info is a priority in Falcosidekick, too.
func checkUnknownPriority(n *yaml.Node) string {
	if _, wrong := repairPriority(n); !wrong {
		return ""
	}
	return checkPriority(n)
}

// repairPriority keeps what Falcosidekick does with a priority that there is not.
func repairPriority(n *yaml.Node) (string, bool) {
	_, ok := event.ParsePriority(n.Value)
	return "", !ok
}

// checkPercent finds %NAME, which is a variable in CUSTOMFIELDS alone.
func checkPercent(n *yaml.Node) string {
	for i, item := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 || item.Kind != yaml.ScalarNode {
			continue
		}
		if name, is := strings.CutPrefix(item.Value, "%"); is && variableName.MatchString(name) {
			return fmt.Sprintf("%%%s is this text itself, as in Falcosidekick, whose documentation says otherwise; ${%s} is the variable", name, name)
		}
	}
	return ""
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkNames finds names of entries that Falcosidekick changes or drops.
func checkNames(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	var dotted, capital string // the first of each
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch name := n.Content[i].Value; {
		case strings.Contains(name, "."):
			dotted = cmp.Or(dotted, name)
		case strings.ToLower(name) != name:
			capital = cmp.Or(capital, name)
		}
	}
	var texts []string
	if dotted != "" {
		texts = append(texts, fmt.Sprintf("Falcosidekick drops entries with a dot in their name, as %q; here they are kept", shown(dotted)))
	}
	if capital != "" {
		texts = append(texts, fmt.Sprintf("Falcosidekick writes names of entries in lower case; here %q stays as it is", shown(capital)))
	}
	return strings.Join(texts, ". ")
}

// checkSeverities finds forms of the map that Falcosidekick cannot read from the file.
func checkSeverities(n *yaml.Node) string {
	const text = "Falcosidekick takes only a map with the numbers of priorities in the file, so that these severities were not set; now they are"
	if n.Kind == yaml.ScalarNode {
		return text
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if _, err := strconv.Atoi(n.Content[i].Value); err != nil {
			return text
		}
	}
	return ""
}

// malformedThresholds are items with a colon where a comma was meant.
var malformedThresholds = regexp.MustCompile(`^\s*\d+\s*:\s*[a-zA-Z]+(\s*[:,]\s*\d+\s*:\s*[a-zA-Z]+)*\s*$`)

func checkThresholds(n *yaml.Node) string {
	if text, malformed := repairThresholds(n); malformed && text != "" {
		return "with colons between the items, Falcosidekick reads the first number alone and no priority; commas are meant"
	}
	return ""
}

func repairThresholds(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || !malformedThresholds.MatchString(n.Value) {
		return "", false
	}
	var items []string
	words := strings.FieldsFunc(n.Value, func(r rune) bool { return strings.ContainsRune(":, \t", r) })
	for i := 0; i+1 < len(words); i += 2 {
		items = append(items, words[i]+":"+words[i+1])
	}
	right := strings.Join(items, ", ")
	compact := strings.NewReplacer(" ", "", "\t", "")
	return right, compact.Replace(right) != compact.Replace(n.Value)
}

// shown is a text of the file as a message may have it.
func shown(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
