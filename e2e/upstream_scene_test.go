package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// place is where an attack takes place.
type place int

const (
	onHost       place = iota
	onNetwork          // on the host, in a network of the test's own
	inPlain            // in a container on that network, with few privileges
	inPrivileged       // in a container that is privileged
	inNew              // in a container of the attack's own
)

// The addresses of the test's own network, which exist nowhere else.
const (
	localAddress    = "203.0.113.1"
	peerAddress     = "203.0.113.2"
	apiAddress      = "203.0.113.10" // kubernetes.default.svc.cluster.local
	poolAddress     = "203.0.113.11" // pool.minexmr.com
	metadataAddress = "169.254.169.254"
	localAddress6   = "2001:db8::1"
	peerAddress6    = "2001:db8::2"
)

// scene is what the attacks need: a folder, a network, and agents that run their programs.
type scene struct {
	dir      string // that every user may enter
	shm      string // name of a file in /dev/shm
	podman   string // socket of Podman's service
	network  string // name of the network namespace
	loginuid int    // of this process and therefore of all that it starts
	tty      int    // likewise

	agents map[place]*agent
	ready  time.Time // when the last container had started
}

// agent runs programs where it stands; see the trigger's action of that name.
type agent struct {
	pid       int    // on the host
	container string // the container's id
	name      string // the container's name

	mu  sync.Mutex
	in  *json.Encoder
	out *json.Decoder
}

// do runs a program and waits for it.
func (a *agent) do(dir string, env []string, args ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.in.Encode(map[string]any{"args": args, "env": env, "dir": dir}); err != nil {
		return err
	}
	var answer struct{ Error string }
	if err := a.out.Decode(&answer); err != nil {
		return fmt.Errorf("read the agent's answer to %q: %w", args, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("%q: %s", args, answer.Error)
	}
	return nil
}

// newScene makes a scene for as long as the test runs.
func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{loginuid: -1, agents: map[place]*agent{}}
	var err error
	s.dir, err = os.MkdirTemp("", "saker-e2e-site-") //nolint:usetesting // other users work in it, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"shredded", "liblzma.so.5.6.0", "becoming-setuid", "home/.bashrc", "deleted/ash_history", "renamed/ash_history", "truncated/.ash_history",
		"unlinked/ash_history",
	} {
		path := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("none\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s.shm = fmt.Sprintf("/dev/shm/saker-e2e-%d", os.Getpid())
	t.Cleanup(func() { os.Remove(s.shm) })
	if text, err := os.ReadFile("/proc/self/loginuid"); err == nil {
		if id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32); err == nil {
			s.loginuid = int(int32(id))
		}
	}
	s.tty, err = strconv.Atoi(statOf(os.Getpid())[4])
	if err != nil {
		t.Fatal(err)
	}

	s.network = ownNetwork(t, localAddress, peerAddress, apiAddress, poolAddress, metadataAddress)
	for _, address := range []string{localAddress6, peerAddress6} {
		run(t, "ip", "-n", s.network, "addr", "add", address+"/128", "dev", "lo")
	}
	command := []string{
		"ip", "netns", "exec", s.network, programs["trigger"], "agent",
		peerAddress + ":443", peerAddress + ":30080", apiAddress + ":443", poolAddress + ":3333", metadataAddress + ":80",
	}
	s.agents[onNetwork] = startAgent(t, command...)

	device := "/dev/loop0"
	if _, err := os.Stat(device); err != nil {
		device = "/dev/null"
	}
	s.agents[inPlain] = s.startContainer(t, "plain", "--network", "ns:/run/netns/"+s.network, "--cap-add", "NET_RAW",
		"--device", device+":/dev/sdz", "-v", s.dir+":/host")
	s.agents[inNew] = &agent{} // until a container is launched
	s.podman = filepath.Join(s.dir, "podman.sock")
	startPodman(t, s.podman)
	s.agents[inPrivileged] = s.startContainer(t, "privileged", "--privileged", "--network", "none")
	s.ready = time.Now()
	return s
}

// startPodman starts Podman's service and waits until it answers.
func startPodman(t *testing.T, socket string) {
	t.Helper()
	service := exec.Command("podman", "system", "service", "--time", "0", "unix://"+socket)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		_ = service.Wait()
	})
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Podman's service does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// startContainer starts a container in which an agent waits for orders.
func (s *scene) startContainer(t *testing.T, name string, options ...string) *agent {
	t.Helper()
	name = fmt.Sprintf("saker-e2e-%d-%s", os.Getpid(), name)
	command := []string{"podman", "run", "--rm", "-i", "--name", name}
	command = append(append(append(command, limits...), options...), image, "/bin/trigger", "agent")
	t.Cleanup(func() { _ = exec.Command("podman", "rm", "-f", "-t", "0", name).Run() })
	a := startAgent(t, command...)
	a.name = name
	text := strings.Fields(run(t, "podman", "inspect", "-f", "{{.Id}} {{.State.Pid}}", name))
	a.container = text[0]
	var err error
	if a.pid, err = strconv.Atoi(text[1]); err != nil {
		t.Fatal(err)
	}
	return a
}

// startAgent starts an agent and waits until it has carried out an order.
func startAgent(t *testing.T, command ...string) *agent {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	a := &agent{pid: cmd.Process.Pid, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	if err := a.do("/", nil, "/proc/self/exe", "noop"); err != nil {
		t.Fatal(err)
	}
	return a
}

// program is the path of a program at a place. A name without a slash is that of a stand-in.
func (s *scene) program(at place, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if at != onHost && at != onNetwork {
		return "/bin/" + name, nil
	}
	path := filepath.Join(s.dir, name)
	if err := os.Link(programs["trigger"], path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return path, nil
}

// run runs a program at a place, as the attack with that mark.
func (s *scene) run(at place, mark string, env []string, args ...string) error {
	path, err := s.program(at, args[0])
	if err != nil {
		return err
	}
	env = append([]string{markVariable + "=" + mark, "PATH=/usr/bin:/bin"}, env...)
	args = append([]string{path}, args[1:]...)
	if at != onHost {
		return s.agents[at].do(s.folder(at), env, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = env, s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", args, err, out)
	}
	return nil
}

// folder is where the programs of a place run.
func (s *scene) folder(at place) string {
	if at == onHost || at == onNetwork {
		return s.dir
	}
	return "/"
}

// runner is the process on the host that runs the programs of a place.
func (s *scene) runner(at place) int {
	if at == onHost {
		return os.Getpid()
	}
	return s.agents[at].pid
}

// lineage is the name of the process and those of its ancestors.
func lineage(pid int) []string {
	var names []string
	for pid > 0 {
		stat := statOf(pid)
		if len(stat) < 2 {
			break
		}
		names = append(names, commOf(pid))
		pid, _ = strconv.Atoi(stat[1])
	}
	return names
}

func commOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}

// statOf is what /proc tells of the process behind its name: state, parent, group, session,
// terminal and so on.
func statOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// commandLine is the command line of a process as Falco writes it, which begins with the
// process's name.
func commandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	return strings.Join(append([]string{commOf(pid)}, args[1:]...), " ")
}

// parentProgram is the path of the program that a process's parent runs.
func parentProgram(pid int) string {
	stat := statOf(pid)
	if len(stat) < 2 {
		return ""
	}
	path, _ := os.Readlink("/proc/" + stat[1] + "/exe")
	return path
}
