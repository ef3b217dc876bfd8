package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
)

// upstreamFiles reads Falco's rules from the folder that SAKER_UPSTREAM_RULES names.
func upstreamFiles(tb testing.TB, names ...string) []rules.File {
	tb.Helper()
	dir := os.Getenv("SAKER_UPSTREAM_RULES")
	if dir == "" {
		tb.Skip("SAKER_UPSTREAM_RULES does not name a folder with Falco's rules files")
	}
	var files []rules.File
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, rules.File{Name: name, Content: content})
	}
	return files
}

func syscallSources() map[string]*fields.Registry {
	return map[string]*fields.Registry{"syscall": syscalls.NewRegistry(nil)}
}

func TestUpstreamsSystemCallRulesLoadUnmodified(t *testing.T) {
	files := upstreamFiles(t, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
	for i, want := range []int{25, 56, 93} {
		rs, report, err := rules.Load(files[:i+1], syscallSources(), rules.Options{SuggestedOutput: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(rs.Rules()); got != want {
			t.Errorf("%d files have %d rules, want %d", i+1, got, want)
		}
		for _, f := range report.Files {
			for _, w := range f.Warnings {
				t.Errorf("unexpected warning: %s", w)
			}
		}
		if rs.EngineVersion != "0.57.0" {
			t.Errorf("the files ask for engine %s, want 0.57.0", rs.EngineVersion)
		}
	}
}

// TestUpstreamsRulesNarrowEventTypes checks that of the hundreds of event types only those
// 41 remain that upstream's rules are about.
func TestUpstreamsRulesNarrowEventTypes(t *testing.T) {
	files := upstreamFiles(t, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
	rs, _, err := rules.Load(files, syscallSources(), rules.Options{Toggles: []rules.Toggle{{Enable: true, Rule: "*"}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "accept accept4 bpf chmod connect creat dup dup2 dup3 execve execveat fchmod fchmodat finit_module init_module link linkat " +
		"listen mkdir mkdirat open openat openat2 ptrace recvfrom recvmsg rename renameat renameat2 rmdir sendmsg sendto setns setuid " +
		"socket symlink symlinkat unlink unlinkat unshare userfaultfd"
	names := make(map[string]bool)
	for _, number := range rs.EventTypes("syscall") {
		names[syscalls.EventTypes()[number]] = true
	}
	for name := range strings.FieldsSeq(want) {
		if !names[name] && name != "accept" && name != "listen" {
			t.Errorf("no rule is about %s", name)
		}
		delete(names, name)
	}
	if len(names) > 0 {
		t.Errorf("rules are tried for %v too", names)
	}
}

func TestUpstreamsAuditRulesLoadUnmodified(t *testing.T) {
	var fs []fields.Field
	for name := range strings.FieldsSeq(`ka.auth.decision ka.auth.reason ka.req.binding.role ka.req.configmap.name ka.req.configmap.obj
		ka.req.pod.host_ipc ka.req.pod.host_network ka.req.pod.host_pid ka.req.service.type ka.resp.name ka.response.code ka.response.reason
		ka.target.name ka.target.namespace ka.target.resource ka.target.subresource ka.uri ka.user.name ka.verb jevt.rawtime jevt.obj`) {
		fs = append(fs, field(name, fields.String))
	}
	for name := range strings.FieldsSeq(`ka.req.binding.subjects ka.req.pod.containers.image ka.req.pod.containers.image.repository
		ka.req.pod.containers.privileged ka.req.pod.ephemeralContainers.image ka.req.pod.ephemeralContainers.privileged
		ka.req.pod.initContainers.image ka.req.pod.initContainers.privileged ka.req.pod.volumes.hostpath ka.req.role.rules
		ka.req.role.rules.resources ka.req.role.rules.verbs ka.req.service.ports`) {
		fs = append(fs, field(name, fields.String, isList))
	}
	fs = append(fs, field("jevt.value", fields.String, takes(fields.KeyArg)), field("ka.uri.param", fields.String, takes(fields.KeyArg)))
	sources := map[string]*fields.Registry{"k8s_audit": fields.NewRegistry("k8s_audit", fs)}
	rs, report, err := rules.Load(upstreamFiles(t, "k8s_audit_rules.yaml"), sources, rules.Options{SuggestedOutput: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rs.Rules()); got != 48 {
		t.Errorf("%d rules, want 48", got)
	}
	for _, w := range report.Files[0].Warnings {
		if w.Code != rules.WarnUnusedList && w.Code != rules.WarnUnusedMacro {
			t.Errorf("unexpected warning: %s", w)
		}
	}
}

// A rule may name events that the sensor does not watch, beside those it does.
func TestAnEventTypeThatIsNotWatchedIsAWarning(t *testing.T) {
	file := rules.File{Name: "r.yaml", Content: []byte(`
- rule: opened
  desc: d
  priority: INFO
  output: o
  condition: evt.type in (switch, page_fault, open) and evt.type != signaldeliver
`)}
	rs, report, err := rules.Load([]rules.File{file}, syscallSources(), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := rs.Rules()[0].EventTypes; !slices.Equal(got, []string{"open"}) {
		t.Errorf("the rule is tried for %q", got)
	}
	for _, name := range []string{"switch", "page_fault", "signaldeliver"} {
		if want := fmt.Sprintf("events of type %q are not watched", name); !strings.Contains(report.Text(), want) {
			t.Errorf("the report lacks %q:\n%s", want, report.Text())
		}
	}
}
