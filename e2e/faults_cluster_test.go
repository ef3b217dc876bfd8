package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// nodeVariable holds, in the environment of a process that a test started, what NATS
// server it is to be.
const nodeVariable = "SAKER_E2E_NATS_NODE"

// The ports of NATS servers, each of which has an address of its own.
const (
	natsPort  = 4222
	routePort = 6222
)

// node is a NATS server of a cluster.
type node struct {
	Name, Address, Dir string
	Routes             []string

	cmd *exec.Cmd
}

// runNode is a NATS server, until the process is killed.
func runNode(text string) {
	var n node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		panic(err)
	}
	options := &server.Options{
		ServerName: n.Name, Host: n.Address, Port: natsPort, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: n.Dir, MaxPayload: 4 << 20,
		Cluster: server.ClusterOpts{Name: "test", Host: n.Address, Port: routePort},
	}
	for _, address := range n.Routes {
		options.Routes = append(options.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("%s:%d", address, routePort)})
	}
	s, err := server.NewServer(options)
	if err != nil {
		panic(err)
	}
	s.Start()
	s.WaitForShutdown()
}

func (n *node) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	n.cmd.Stderr = os.Stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// startCluster starts three NATS servers and returns them and their addresses, as
// journal.url takes them.
func startCluster(t *testing.T) (nodes []*node, urls string) {
	t.Helper()
	dir := t.TempDir()
	var routes, all []string
	for range 3 {
		address := ownAddress()
		routes = append(routes, address)
		all = append(all, fmt.Sprintf("nats://%s:%d", address, natsPort))
	}
	for i, address := range routes {
		name := fmt.Sprint("n", i)
		n := &node{Name: name, Address: address, Dir: filepath.Join(dir, name), Routes: routes}
		n.start(t)
		t.Cleanup(n.kill)
		nodes = append(nodes, n)
	}
	return nodes, strings.Join(all, ",")
}

// Two forwarders share their work through a NATS cluster. One of them is killed in the
// middle of a burst, then servers of the cluster, until it has no majority any more.
func TestForwardersOnAClusterLoseNothingWhenOneIsKilled(t *testing.T) {
	nodes, urls := startCluster(t)
	hook := newEndpoint(t, "hook", nil)
	config := fmt.Sprintf("journal: {url: %q}\nwebhook: {address: %q, retry: {initial: 100ms, max: 1s}}\n", urls, hook.url)
	var sites []*site
	var sources []*sender
	for i := range 2 {
		s := newSite(t, "%s", config)
		s.run()
		source := newSender(s)
		source.next = i * 1_000_000 // so that all numbers differ
		sites, sources = append(sites, s), append(sources, source)
	}
	hook.answers(slow(5 * time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, source := range sources {
		source.flood(ctx, 4, &wg)
	}
	alive, dies := sites[0], sites[1]
	more := func(source *sender, count int) {
		t.Helper()
		want := source.sum() + count
		source.eventually("events are taken", func() error {
			if source.sum() < want {
				return errNotYet
			}
			return nil
		})
	}
	more(sources[0], 500)
	more(sources[1], 500)
	dies.kill()
	more(sources[0], 500)
	nodes[0].kill()
	more(sources[0], 500)
	nodes[1].kill()
	alive.eventually("without a majority senders are asked to come back later", func() error {
		status, body, err := alive.get(alive.ingest("readyz"))
		if err == nil && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("/readyz answers %d: %s", status, body)
		}
		return err
	})
	nodes[0].start(t)
	nodes[1].start(t)
	alive.eventually("with it they are not", alive.ready)
	more(sources[0], 500)
	dies.run()
	cancel()
	wg.Wait()
	for _, source := range sources {
		source.settle()
		source.waitArrived(hook)
	}
	for _, s := range sites {
		s.stop()
	}
	t.Logf("%d and %d events, none lost, %d came again", sources[0].sum(), sources[1].sum(), hook.duplicates())
	// What a forwarder had in hand comes again: when it dies, and when the servers that knew
	// what it had acknowledged do.
	if n := hook.duplicates(); n > 4*512 {
		t.Errorf("%d events came again", n)
	}
}
