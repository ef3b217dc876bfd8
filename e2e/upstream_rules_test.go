package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// localRules are what an operator of these rules would add: upstream's rule on subnets does
// nothing before a namespace is named, the one on containers before some are not allowed.
const localRules = `
- list: namespace_scope_network_only_subnet
  items: [closed]
- macro: allowed_containers
  condition: (container.image.repository = registry.example/allowed)
`

func attacks() []attack {
	return slices.Concat(stableAttacks, incubatingAttacks, sandboxAttacks, otherCalls())
}

// Falco's rules files, unmodified and all of their rules on, find each attack that they
// were written for, say of it what there is to say, and find nothing else in it. So they do
// file by file, as they are shipped. Our own rules find the same attacks but for some, each
// with its reason.
func TestFalcosRulesFire(t *testing.T) {
	needRoot(t)
	needPodman(t)
	folder := os.Getenv("SAKER_UPSTREAM_RULES")
	if folder == "" {
		t.Skip("SAKER_UPSTREAM_RULES does not name the folder with Falco's rules files")
	}
	s := newScene(t)
	var upstream []string
	for _, file := range upstreamFiles {
		upstream = append(upstream, filepath.Join(folder, file))
	}
	everything := "rules: [{enable: {rule: \"*\"}}]\nrule_matching: all\n"
	local := writeFile(t, "local_rules.yaml", localRules)
	all := s.watch(t, everything, append(upstream, local)...)
	stable, incubating := s.watch(t, "", upstream[0]), s.watch(t, "", upstream[1], local)
	ours := s.watch(t, everything, "../sensor/defaultrules/saker_rules.yaml")
	lookouts := []*lookout{all, stable, incubating, ours}
	for _, l := range lookouts {
		s.waitForNames(t, l)
	}

	attacks := attacks()
	failures := s.carryOutAll(attacks)
	if err := s.run(onHost, "end", nil, "end-of-attacks"); err != nil {
		t.Fatal(err)
	}
	for _, l := range lookouts {
		l.end(t)
	}
	for _, a := range attacks {
		t.Run(a.mark(), func(t *testing.T) {
			if err := failures[a.mark()]; err != nil {
				t.Fatal(err)
			}
			s.check(t, a, all.alerts(a))
			s.checkFirst(t, a, stable, upstream[0])
			s.checkFirst(t, a, incubating, upstream[1])
			checkOurs(t, a, ours.alerts(a))
		})
	}
}

// Every rule of upstream's files has an attack.
func TestEachOfFalcosRulesHasAnAttack(t *testing.T) {
	folder := os.Getenv("SAKER_UPSTREAM_RULES")
	if folder == "" {
		t.Skip("SAKER_UPSTREAM_RULES does not name the folder with Falco's rules files")
	}
	wanted, marks := map[string]bool{}, map[string]bool{}
	for _, a := range attacks() {
		if marks[a.mark()] {
			t.Errorf("two attacks are called %q", a.mark())
		}
		marks[a.mark()] = true
		for _, w := range a.want {
			wanted[w.rule] = true
		}
	}
	for _, file := range upstreamFiles {
		for _, rule := range rulesOf(t, filepath.Join(folder, file)) {
			if !wanted[rule] {
				t.Errorf("%s: no attack for rule %q", file, rule)
			}
		}
	}
}

// rulesOf are the names of the rules in a file.
func rulesOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- rule: "); ok {
			names = append(names, name)
		}
	}
	return names
}

var upstreamFiles = []string{"falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"}

// settled is how old a container is of which our own rules no longer suppose that it is
// preparing itself.
const settled = 6 * time.Second

// carryOutAll does the attacks, several at once, and returns what went wrong by attack.
func (s *scene) carryOutAll(all []attack) map[string]error {
	var mu sync.Mutex
	failures := map[string]error{}
	var wg sync.WaitGroup
	turns := make(chan struct{}, 4)
	begin := func(at ...place) {
		for _, a := range all {
			if !slices.Contains(at, a.at) {
				continue
			}
			turns <- struct{}{}
			wg.Go(func() {
				defer func() { <-turns }()
				if err := s.carryOut(a); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures[a.mark()] = err
				}
			})
		}
	}
	begin(onHost, onNetwork, inNew)
	time.Sleep(time.Until(s.ready.Add(settled)))
	begin(inPlain, inPrivileged)
	wg.Wait()
	return failures
}

// podmanExec runs a command in a container as its runtime does, with options of podman's
// before a "--".
func (s *scene) podmanExec(at place, mark string, args ...string) error {
	i := slices.Index(args, "--")
	all := append([]string{"exec", "-e", markVariable + "=" + mark}, args[:i]...)
	all = append(append(all, s.agents[at].name), args[i+1:]...)
	if out, err := exec.Command("podman", all...).CombinedOutput(); err != nil {
		return fmt.Errorf("podman %q: %w\n%s", all, err, out)
	}
	return nil
}

// launch runs a container of its own that changes its program once a runtime has told all
// there is to tell of it.
func (s *scene) launch(mark string, options ...string) error {
	file, name := filepath.Join(s.dir, "launched"), fmt.Sprintf("saker-e2e-%d-launched", os.Getpid())
	all := append([]string{"run", "--rm", "--network", "none", "--name", name, "--cidfile", file, "-e", markVariable + "=" + mark}, limits...)
	all = append(append(all, options...), image, "/bin/trigger", "exec-later", "2s", "/bin/trigger", "noop")
	if out, err := exec.Command("podman", all...).CombinedOutput(); err != nil {
		return fmt.Errorf("podman %q: %w\n%s", all, err, out)
	}
	id, err := os.ReadFile(file)
	s.agents[inNew].container, s.agents[inNew].name = string(id), name
	return err
}

// launchIn runs an action of the trigger's on the test's network, in a container of its own
// whose labels say that it is of a namespace of Kubernetes.
func (s *scene) launchIn(mark, namespace string, action ...string) error {
	all := append([]string{
		"run", "--rm", "--network", "ns:/run/netns/" + s.network, "-e", markVariable + "=" + mark,
		"--label", "io.kubernetes.pod.namespace=" + namespace, "--label", "io.kubernetes.pod.name=e2e",
	}, limits...)
	all = append(append(all, image, "/bin/trigger", "exec-later", "2s", "/bin/trigger"), action...)
	if out, err := exec.Command("podman", all...).CombinedOutput(); err != nil {
		return fmt.Errorf("podman %q: %w\n%s", all, err, out)
	}
	return nil
}
