package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

// nodeVariable holds, in the environment of a process that a test started, what NATS
// server it is to be.
const nodeVariable = "SAKER_TEST_NATS_NODE"

// nodeConfig says how a server is run.
type nodeConfig struct {
	Name, Dir         string
	Port, ClusterPort int
	Routes            []string
	MaxPayload        int32

	CACert, Cert, Key  string // files; with them the server asks for TLS and a certificate
	Username, Password string
	NoJetStream        bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeVariable); text != "" {
		runNode(text)
		return
	}
	if text := os.Getenv(forwarderVariable); text != "" {
		runForwarder(text)
		return
	}
	code := m.Run()
	shared.stop()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runNode is a NATS server in a process of its own. It ends with its standard input.
func runNode(text string) {
	var c nodeConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoSigs: true, NoLog: true,
		JetStream: !c.NoJetStream, StoreDir: c.Dir, MaxPayload: c.MaxPayload, Username: c.Username, Password: c.Password,
	}
	if c.ClusterPort != 0 {
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: c.ClusterPort}
		for _, r := range c.Routes {
			u, err := url.Parse(r)
			if err != nil {
				panic(err)
			}
			o.Routes = append(o.Routes, u)
		}
	}
	if c.Cert != "" {
		t, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: c.Cert, KeyFile: c.Key, CaFile: c.CACert, Verify: true})
		if err != nil {
			panic(err)
		}
		o.TLS, o.TLSVerify, o.TLSConfig, o.TLSTimeout = true, true, t, 5
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	if path := os.Getenv("SAKER_TEST_NATS_LOG"); path != "" {
		o.NoLog, o.LogFile, o.Debug = false, filepath.Join(path, c.Name+".log"), true
		s.ConfigureLogger()
	}
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// node is a running NATS server.
type node struct {
	nodeConfig
	cmd   *exec.Cmd
	stdin io.Closer
}

func (n *node) start() error {
	text, err := json.Marshal(n.nodeConfig)
	if err != nil {
		return err
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	n.cmd.Stderr = os.Stderr
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		return err
	}
	return n.cmd.Start()
}

// kill ends the server at once, as kill -9 does.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *node) running() bool { return n.cmd != nil }

func (n *node) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.Port) }

// nodes is a cluster of three servers, which the tests share: each of them uses a prefix of
// its own, and a test that kills a server starts it again.
type nodes struct {
	once sync.Once
	err  error
	dir  string
	all  []*node
}

var shared nodes

// cluster starts the shared servers, or those of them that a test has left dead.
func cluster(t testing.TB) *nodes {
	t.Helper()
	shared.once.Do(func() { shared.err = shared.start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.revive(t)
	return &shared
}

func (c *nodes) start() (err error) {
	if c.dir, err = os.MkdirTemp("", "saker-nats-"); err != nil {
		return err
	}
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	var routes []string
	for _, p := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	for i := range 3 {
		n := &node{nodeConfig: nodeConfig{
			Name: fmt.Sprint("n", i), Dir: filepath.Join(c.dir, fmt.Sprint("n", i)),
			Port: ports[i], ClusterPort: ports[3+i], Routes: routes, MaxPayload: 8 << 20,
		}}
		c.all = append(c.all, n)
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// revive starts the servers that are dead.
func (c *nodes) revive(t testing.TB) {
	t.Helper()
	for _, n := range c.all {
		if !n.running() {
			if err := n.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (c *nodes) stop() {
	for _, n := range c.all {
		n.kill()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

func (c *nodes) named(name string) *node {
	for _, n := range c.all {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func (c *nodes) urls() string {
	var all []string
	for _, n := range c.all {
		all = append(all, n.url())
	}
	return strings.Join(all, ",")
}

// startNode runs a server of its own for the test.
func startNode(t testing.TB, change func(*nodeConfig)) *node {
	t.Helper()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{nodeConfig: nodeConfig{Name: "alone", Dir: t.TempDir(), Port: ports[0], MaxPayload: 8 << 20}}
	if change != nil {
		change(&n.nodeConfig)
	}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	eventually(t, "the server accepts connections", func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.Port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return n
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// patient is how long a test waits for what must come.
const patient = 60 * time.Second

// eventually tries until f succeeds.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

var errNotYet = errors.New("not yet")
