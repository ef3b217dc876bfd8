package rules_test

import (
	"net/netip"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

// holds says whether ev satisfies the condition.
func holds(t *testing.T, condition string, ev occurrence) bool {
	t.Helper()
	return len(matches(mustLoad(t, rules.Options{}, yamlRule("evt.type = openat and ("+condition+")")), ev)) == 1
}

type trap struct {
	condition string
	want      bool
}

func try(t *testing.T, ev occurrence, traps ...trap) {
	t.Helper()
	ev["evt.type"] = fields.Text("openat")
	for _, c := range traps {
		if got := holds(t, c.condition, ev); got != c.want {
			t.Errorf("%s is %v, want %v", c.condition, got, c.want)
		}
	}
}

func TestNothingButNotHoldsForANullField(t *testing.T) {
	try(
		t, occurrence{"proc.name": fields.Text("sh"), "user.name": fields.Text("<NA>")},
		trap{"proc.pname = x", false},
		trap{"proc.pname != x", false},
		trap{"not proc.pname = x", true},
		trap{"not proc.pname != x", true},
		trap{"proc.pname in (x)", false},
		trap{"not proc.pname in (x)", true},
		trap{"proc.pname startswith x", false},
		trap{"proc.pname contains \"\"", false},
		trap{"user.uid >= 0", false},
		trap{"proc.pname exists", false},
		trap{"proc.name = val(proc.pname)", false},
		trap{"proc.name != val(proc.pname)", false},
		trap{"tolower(proc.pname) != x", false},
		trap{"fd.sport != 22", false},
		trap{"fd.snet != 10.0.0.0/8", false},
		// A name that stands for none is a text like any other.
		trap{"user.name = \"<NA>\"", true},
		trap{"user.name != root", true},
	)
}

func TestAncestorsWithoutANumberAreAskedOneByOne(t *testing.T) {
	names := func(ns ...string) fields.Value {
		var vs []fields.Value
		for _, n := range ns {
			vs = append(vs, fields.Text(n))
		}
		return fields.Elements(vs)
	}
	try(
		t, occurrence{
			"proc.name": fields.Text("cat"), "proc.aname": names("sh", "sshd", "init"),
			"proc.aname[1]": fields.Text("sh"), "proc.aname[2]": fields.Text("sshd"),
		},
		trap{"proc.aname = sshd", true},
		trap{"proc.aname = cat", false},
		trap{"proc.aname in (x, init)", true},
		trap{"proc.aname startswith ss", true},
		trap{"proc.aname != sshd", true},
		trap{"not proc.aname = sshd", false},
		trap{"proc.aname[1] = sh", true},
		trap{"proc.aname[2] = sh", false},
		trap{"proc.aname[3] = init", false},
		trap{"proc.aname[3] != init", false},
	)
}

func TestBothEndsOfAConnectionAreAsked(t *testing.T) {
	ends := func(as ...string) fields.Value {
		var vs []fields.Value
		for _, a := range as {
			vs = append(vs, fields.Address(netip.MustParseAddr(a)))
		}
		return fields.Elements(vs)
	}
	try(
		t, occurrence{
			"fd.ip": ends("10.0.0.5", "192.0.2.7"), "fd.net": ends("10.0.0.5", "192.0.2.7"),
			"fd.port": fields.Elements([]fields.Value{fields.Unsigned(41000), fields.Unsigned(443)}),
		},
		trap{"fd.ip = 10.0.0.5", true},
		trap{"fd.ip = 192.0.2.7", true},
		trap{"fd.ip != 192.0.2.7", false},
		trap{"fd.ip != 192.0.2.8", true},
		trap{"fd.port = 443", true},
		trap{"fd.port != 443", false},
		trap{"fd.port != 444", true},
		trap{"fd.port in (22, 41000)", true},
		trap{"fd.net = 192.0.2.0/24", true},
		trap{"fd.net != 192.0.2.0/24", false},
		trap{"fd.net != 198.51.100.0/24", true},
	)
	// A descriptor that is no connection has no end that could differ.
	try(t, occurrence{}, trap{"fd.net != 10.0.0.0/8", false}, trap{"fd.ip != 10.0.0.1", false}, trap{"fd.port != 22", false})
}

func TestPatternsMeanThreeDifferentThings(t *testing.T) {
	try(
		t, occurrence{"fd.name": fields.Text("/etc/ssh/sshd_config")},
		trap{"fd.name glob '/etc/*_config'", true},
		trap{"fd.name glob '*'", true},
		trap{"fd.name glob '/etc'", false},
		trap{"fd.name regex '/etc'", false},
		trap{"fd.name regex '/etc.*'", true},
		trap{"fd.name regex '.*sshd'", false},
		trap{"fd.name pmatch (/etc)", true},
		trap{"fd.name pmatch (/et)", false},
		trap{"fd.name pmatch (/etc/ssh/sshd)", false},
		trap{"fd.name pmatch (/etc//ssh/)", true},
		trap{"fd.name pmatch (/*/ssh)", true},
		trap{"fd.name startswith /et", true},
	)
}
