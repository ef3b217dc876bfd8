package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/rules"
)

func TestOperatorsOnEveryType(t *testing.T) {
	for _, tt := range []struct {
		condition string
		want      bool
	}{
		// Text compares bytes.
		{"proc.name = bash", true},
		{"proc.name == bash", true},
		{"proc.name = Bash", false},
		{"proc.name != bash", false},
		{"proc.name != zsh", true},
		{"proc.name in (zsh, bash)", true},
		{"proc.name in (a, b, c, d, e, f, bash)", true},
		{"proc.name in (a, b, c, d, e, f)", false},
		{"proc.name intersects (zsh, bash)", true},
		{"proc.name in ()", false},
		{"not proc.name in ()", true},
		{"evt.res >= 1", true},
		{"evt.res < 1", false},
		{"proc.cmdline contains \"-c E\"", true},
		{"proc.cmdline contains echo", false},
		{"proc.cmdline icontains eCHO", true},
		{"proc.cmdline icontains BASH", true},
		{"proc.cmdline icontains zsh", false},
		{"fd.name startswith /etc/", true},
		{"fd.name startswith ''", true},
		{"fd.name endswith _config", true},
		{"fd.name endswith /etc", false},
		{"proc.args = \"\"", true},
		{"proc.args in (\"\")", true},

		// Globs cross slashes and are anchored.
		{"fd.name glob /etc/*config", true},
		{"fd.name glob '*ssh*'", true},
		{"fd.name glob /etc", false},
		{"fd.name glob '/etc/s[st]h/?shd_config'", true},
		{"fd.name glob '/etc/s[!s]h/*'", false},
		{"fd.name glob /ETC/*", false},
		{"fd.name iglob /ETC/*CONFIG", true},

		// Regular expressions match the whole, in POSIX syntax.
		{"fd.name regex /etc", false},
		{"fd.name regex '/etc/.*'", true},
		{"fd.name regex '(/etc|/usr)/[a-z]+/[^/]+'", true},
		{"fd.name regex '^/etc.*$'", true},
		{"proc.name regex 'b|bash'", true},

		// pmatch goes by components.
		{"fd.name pmatch (/usr, /etc)", true},
		{"fd.name pmatch (/et)", false},
		{"fd.name pmatch (/etc/ssh/sshd_config/x)", false},
		{"fd.name pmatch (etc//ssh/)", true},
		{"fd.name pmatch (/)", true},
		{"fd.name pmatch ('/e*/ssh')", true},
		{"fd.name pmatch ('/e*/x', '/*/s?h')", true},

		// Numbers.
		{"evt.rawres = -2", true},
		{"evt.rawres < 0", true},
		{"evt.rawres >= -2", true},
		{"evt.rawres > -2", false},
		{"evt.rawres != -2", false},
		{"evt.rawres in (-3, -2)", true},
		{"fd.num >= 0", false},
		{"user.uid = 1000", true},
		{"user.uid = +1000", true},
		{"user.uid = 01000", true},
		{"user.uid > 999", true},
		{"user.uid < 99999999999999999999999", true},
		{"user.uid = -1", false},
		{"user.loginuid = -1", true},
		{"proc.duration <= 5000000000", true},
		{"proc.duration < 5000000000", false},
		{"user.uid in (1, 2, 3, 4, 5, 6, 1000)", true},

		// Ports have names.
		{"fd.sport = 22", true},
		{"fd.sport = ssh", true},
		{"fd.sport in (http, https)", false},
		{"fd.sport > 21", true},

		// Bool.
		{"evt.is_open_write = true", true},
		{"evt.is_open_write = false", false},
		{"evt.is_open_write != false", true},
		{"evt.is_open_write in (true, false)", true},
		{"evt.is_open_write intersects (true)", true},

		// Buffers.
		{"evt.buffer contains GET", true},
		{"evt.buffer bcontains babe", true},
		{"evt.buffer bcontains BABE0047", true},
		{"evt.buffer bstartswith cafe", true},
		{"evt.buffer bstartswith babe", false},
		{"evt.buffer startswith GET", false},
		{"evt.buffer endswith /", true},
		{"evt.buffer = GET", false},
		{"evt.buffer intersects (GET)", false},

		// Addresses and networks.
		{"fd.sip = 203.0.113.5", true},
		{"fd.sip = \"203.0.113.5\"", true},
		{"fd.sip != 203.0.113.5", false},
		{"fd.sip in (203.0.113.4, 203.0.113.5)", true},
		{"fd.sip = 2001:db8::1", false},
		{"fd.sip != 2001:db8::1", true},
		{"fd.cip = 2001:db8:0::1", true},
		{"fd.snet = 10.0.0.0/8", true},
		{"fd.snet = 10.9.9.9/8", true},
		{"fd.snet in (192.168.0.0/16, 10.0.0.0/8)", true},
		{"fd.snet in (1.0.0.0/8, 2.0.0.0/8, 3.0.0.0/9, 4.0.0.0/10, 5.0.0.0/8, 10.1.0.0/16)", true},
		{"fd.snet != 2001:db8::/32", true},
		{"fd.snet = 2001:db8::/32", false},

		// Fields that look at both ends.
		{"fd.ip = 10.1.2.3", true},
		{"fd.ip = 192.0.2.1", true},
		{"fd.ip != 10.1.2.3", false},
		{"fd.ip != 10.1.2.4", true},
		{"fd.ip in (1.1.1.1, 192.0.2.1)", true},
		{"fd.net = 10.0.0.0/8", true},
		{"fd.net != 10.0.0.0/8", false},
		{"fd.net != 127.0.0.0/8", true},
		{"fd.net in (127.0.0.0/8, 192.0.2.0/24)", true},
		{"fd.port = 22", true},
		{"fd.port = 50000", true},
		{"fd.port > 60000", false},
		{"fd.port != 22", false},

		// Ancestors: any will do, also for !=.
		{"proc.aname = sshd", true},
		{"proc.aname = bash", false},
		{"proc.aname != sshd", true},
		{"proc.aname in (cron, systemd)", true},
		{"proc.aname startswith sys", true},
		{"proc.aname startswith oneof (sys, syst)", false},
		{"proc.aname startswith anyof (sys, syst)", true},
		{"proc.aname[2] = systemd", true},
		{"proc.aname[2] != systemd", false},
		{"proc.aname[3] exists", false},

		// Lists.
		{"proc.arglist in (-n, -tfile, -x, --long, rest, more)", true},
		{"proc.arglist in (-n)", false},
		{"proc.arglist intersects (-x, -y)", true},
		{"proc.arglist intersects (-y)", false},
		{"proc.numbers in (1, 2, 3)", true},
		{"proc.numbers intersects (3)", false},
		{"proc.arglist exists", true},

		// Host names.
		{"fd.sip.name = pool.example", true},
		{"fd.sip.name in (a.example, pool.example)", true},
		{"fd.sip.name = a.example", false},

		// Missing values make every comparison false, != too.
		{"proc.pname = x", false},
		{"proc.pname != x", false},
		{"not proc.pname = x", true},
		{"not proc.pname != x", true},
		{"proc.pname exists", false},
		{"proc.pname in (x)", false},
		{"proc.pname = val(proc.name)", false},
		{"proc.name = val(proc.pname)", false},
		{"proc.name != val(proc.pname)", false},
		{"k8s.pod.name startswith oneof (a)", false},
		{"user.name = \"<NA>\"", true},
		{"user.name exists", true},
		{"proc.args exists", true},

		// Modifiers.
		{"fd.name startswith oneof (/etc, /usr)", true},
		{"fd.name startswith oneof (/etc, /et)", false},
		{"fd.name startswith anyof (/etc, /et)", true},
		{"fd.name contains allof (etc, ssh)", true},
		{"fd.name contains allof (etc, usr)", false},
		{"proc.name != allof (sh, zsh)", true},
		{"proc.name != anyof (bash, zsh)", true},
		{"proc.name != allof (bash, zsh)", false},
		{"proc.name = anyof (zsh, bash)", true},
		{"proc.name = anyof ()", false},
		{"proc.name != allof ()", false},
		{"fd.name regex anyof ('/x.*', '/etc.*')", true},
		{"fd.name glob oneof ('/x*', '/etc*')", true},
		{"fd.sip = anyof (1.1.1.1, 203.0.113.5)", true},

		// Fields and transformers on either side.
		{"proc.name = val(proc.name)", true},
		{"fd.name startswith val(fd.directory)", true},
		{"fd.directory startswith val(fd.name)", false},
		{"proc.cmdline icontains val(proc.name)", true},
		{"user.uid > val(evt.num)", true},
		{"proc.name in val(proc.name)", true},
		{"proc.arglist in val(proc.arglist)", true},
		{"proc.arglist intersects val(proc.arglist)", true},
		{"toupper(proc.name) = BASH", true},
		{"tolower(toupper(proc.name)) = val(proc.name)", true},
		{"proc.name = basename(proc.exepath)", true},
		{"basename(fd.name) = sshd_config", true},
		{"len(proc.name) = 4", true},
		{"len(proc.arglist) = 5", true},
		{"len(proc.args) = 0", true},
		{"len(evt.buffer) = 10", true},
		{"len(proc.pname) = 0", false},
		{"b64(proc.env[A]) exists", false},
		{"join(\",\", proc.arglist) = \"-n,-tfile,-x,--long,rest\"", true},
		{"join(\"-\", (proc.name, \"x\", 3)) = bash-x-3", true},
		{"join(\",\", (evt.num, fd.sip, evt.rawres)) = \"7,203.0.113.5,-2\"", true},
		{"join(\"+\", proc.numbers) = 1+2", true},
		{"concat(proc.name, \"/\", evt.res) = bash/ENOENT", true},
		{"concat(proc.name, proc.pname) exists", false},
		{"getopt(proc.arglist, \"nt:x\") in (n, t, file, x)", true},
		{"len(getopt(proc.arglist, \"nt:x\")) = 4", true},
		{"getopt(proc.arglist, \"nt:x\")[t] = file", true},
		{"getopt(proc.arglist, \"nt:x\")[n] = n", true},
		{"getopt(proc.arglist, \"nt:x\")[z] exists", false},
		{"getopt(proc.arglist, \"nx\") intersects (\"?\")", true},
		{"getopt(proc.arglist, \"x:\")[x] = --long", true},
		{"tolower(proc.arglist) intersects (-TFILE)", false},

		// Arguments.
		{"proc.env contains A", true},
		{"proc.env[A] = b", true},
		{"evt.arg[0] = zero", true},
		{"evt.arg[200] = zero", false},
	} {
		rs, _, err := load(t, rules.Options{}, yamlRule(tt.condition))
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
			continue
		}
		if got := len(matches(rs, shell())) > 0; got != tt.want {
			t.Errorf("%s is %v, want %v", tt.condition, got, tt.want)
		}
	}
}

func TestConditionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, tt := range []struct{ condition, want string }{
		{"proc.nmae = x", `unknown field "proc.nmae" (did you mean "proc.name"?)`},
		{"some.thing = x", `unknown field "some.thing"`},
		{"proc.name bcontains cafe", `the operator "bcontains" cannot be applied to proc.name, which has the type string`},
		{"user.uid contains 1", `the operator "contains" cannot be applied to user.uid, which has the type uint`},
		{"evt.is_open_write > 1", `the operator ">" cannot be applied to evt.is_open_write, which has the type bool`},
		{"evt.buffer icontains x", `the operator "icontains" cannot be applied to evt.buffer, which has the type bytes`},
		{"fd.sip > 1", `the operator ">" cannot be applied to fd.sip, which has the type ip`},
		{"proc.arglist = x", `the operator "=" cannot be applied to proc.arglist, which has the type list`},
		{"user.uid = 0x10", `want a decimal number, not "0x10"`},
		{"user.uid = 1.5", `want a decimal number, not "1.5"`},
		{"user.uid > 1e+3", `want a decimal number, not "1e+3"`},
		{"user.uid = root", `want a decimal number, not "root"`},
		{"user.uid = +-1", `want a decimal number, not "+-1"`},
		{"fd.sport = 70000", `the port "70000" is greater than 65535`},
		{"fd.sport = nosuch", `want a port number or the name of a service, not "nosuch"`},
		{"evt.is_open_write = yes", `want true or false, not "yes"`},
		{"fd.sip = 1.2.3", `want an IP address, not "1.2.3"`},
		{"fd.snet = 10.0.0.0", `want a network such as 10.0.0.0/8, not "10.0.0.0"`},
		{"fd.snet = 10.0.0.0/33", `want a network such as 10.0.0.0/8, not "10.0.0.0/33"`},
		{"evt.buffer bcontains xyz", `"xyz" is not a string of hexadecimal bytes`},
		{`fd.name regex "\\d+"`, "invalid regular expression: error parsing regexp: invalid escape sequence: `\\d`"},
		{"fd.name regex '['", "invalid regular expression: error parsing regexp: missing closing ]: `[`"},
		{"proc.name[1] = x", `field "proc.name[1]": takes no argument in brackets`},
		{"evt.arg = x", `field "evt.arg": needs a number in brackets, such as evt.arg[0]`},
		{"evt.arg[flags] = x", `field "evt.arg[flags]": the argument must be a number, not "flags"`},
		{"proc.aname[-1] = x", `field "proc.aname[-1]": the argument must be a number, not "-1"`},
		{"proc.aname[51] = x", `field "proc.aname[51]": there are no more than 50 ancestors`},
		{"jevt.value exists", `field "jevt.value": needs an argument in brackets, such as jevt.value[name]`},
		{"evt.type = opne", `unknown event type "opne" (did you mean "open"?)`},
		{"evt.type in (open, nosuch)", `unknown event type "nosuch"`},
		{"evt.type startswith ope", `unknown event type "ope" (did you mean "open"?)`},
		{"evt.type = val(proc.name)", "evt.type can be compared with names only"},
		{"proc.name = val(user.uid)", "proc.name and user.uid have different types: string and uint"},
		{"proc.name in val(proc.arglist)", "proc.name and proc.arglist have different types: string and list of string"},
		{"fd.name pmatch val(proc.exepath)", `the operator "pmatch" cannot compare with a field`},
		{"fd.snet = val(fd.sip)", "fd.snet cannot be compared with a field"},
		{"proc.name = val(proc.aname)", "proc.aname cannot stand on the right of an operator"},
		{"toupper(proc.aname) = x", `the field "proc.aname" cannot be used inside a transformer`},
		{"toupper(user.uid) = x", "toupper(…) cannot be applied to the type uint"},
		{"toupper(proc.name, proc.pname) = x", "toupper(…) takes one argument"},
		{"toupper(proc.name)[x] = x", "toupper(…) takes no argument in brackets"},
		{"b64(fd.name) = x", "b64(…) cannot be applied to the type path"},
		{"join(proc.name) = x", "join(…) takes a separator and a list"},
		{"join(\",\", proc.name) = x", "join(…) takes a separator and a list"},
		{"concat(proc.name) = x", "concat(…) takes at least two arguments"},
		{"concat(proc.name, user.uid) = x", "concat(…) needs strings, not the type uint"},
		{"getopt(proc.arglist, \"a\")[bc] = x", "getopt(…) takes a single option letter in brackets"},
		{"undefined_macro", `undefined macro "undefined_macro"`},
	} {
		_, _, err := load(t, rules.Options{}, yamlRule(tt.condition))
		if err == nil {
			t.Errorf("%s loads", tt.condition)
			continue
		}
		want := `rule "R": condition: ` + tt.want
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.condition, err, want)
		}
	}
}

func TestDoubtfulValuesAreWarnedOf(t *testing.T) {
	for condition, want := range map[string]string{
		"proc.name = proc.pname":            `"proc.pname" is compared as text; write val(proc.pname) for the field's value`,
		"proc.name = 'proc.aname[2]'":       `"proc.aname[2]" is compared as text; write val(proc.aname[2]) for the field's value`,
		"proc.name = 'toupper(proc.pname)'": `"toupper(proc.pname)" is compared as text; leave out the quotes to apply toupper`,
		"proc.name regex '.*bash'":          `the regex ".*bash" could be one of =, contains, startswith, endswith`,
		"evt.dir = '<'":                     `the field "evt.dir" is deprecated: there are no enter events`,
	} {
		_, report, err := load(t, rules.Options{}, yamlRule(condition))
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if !slices.ContainsFunc(report.Files[0].Warnings, func(p rules.Problem) bool { return p.Message == want }) {
			t.Errorf("%s: no warning %s in %v", condition, want, report.Files[0].Warnings)
		}
	}
}
