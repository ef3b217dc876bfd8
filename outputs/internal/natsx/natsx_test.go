package natsx

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
)

func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		template, rule, want string
	}{
		{"falco.<priority>.<rule>", "Write below binary dir", "falco.error.write_below_binary_dir"},
		{"falco.<priority>.<rule>", "  (K8s) -- Pod's \"exec\"!! ", "falco.error.k8s_pod_s_exec"},
		{"falco.<priority>.<rule>", "名前", "falco.error._"},
		{"falco.<priority>.<rule>", "", "falco.error._"},
		{"all", "x", "all"},
		{"a.<rule>.<rule>-<priority>", "<priority> *.>", "a.priority.priority-error"},
	} {
		if got := Subject(c.template, event.Event{Priority: event.Error, Rule: c.rule}); got != c.want {
			t.Errorf("%q for the rule %q: got %q, want %q", c.template, c.rule, got, c.want)
		}
	}
}

func TestTemplatesThatMakeNoSubjectAreRefused(t *testing.T) {
	for _, template := range []string{"", ".", "a..b", "a.", ".a", "a b", "a.*", "a.>", "falco.<prio>", "a\tb", "a\n"} {
		if err := checkTemplate(template); err == nil {
			t.Errorf("%q was accepted", template)
		}
	}
}

func TestServersGetTheSchemesOfTheClient(t *testing.T) {
	got := strings.Join(servers(" host:4222, natss://b:4222 ,,tls://u:p@c:4222"), " ")
	if want := "nats://host:4222 tls://b:4222 tls://u:p@c:4222"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSubject(f *testing.F) {
	f.Add("Write below binary dir")
	f.Add("名前")
	f.Add("a.b *>\x00")
	f.Fuzz(func(t *testing.T, rule string) {
		got := Subject("falco.<priority>.<rule>", event.Event{Priority: event.Alert, Rule: rule})
		if !literal.MatchString(got) {
			t.Errorf("the rule %q makes the subject %q", rule, got)
		}
		if strings.Count(got, ".") != 2 {
			t.Errorf("the rule %q makes the subject %q, want three parts", rule, got)
		}
	})
}
