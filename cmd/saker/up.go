package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/probe"
)

// up is `saker up`: everything on this host, in one process.
type up struct {
	settings
	Rules []string `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder, instead of the rules that ship. Repeat for more."`
}

func (u *up) Run() error {
	signals, release := onSignals()
	defer release()
	loaded, watching, err := u.read()
	if err != nil {
		return err
	}
	log, level := loaded.LevelLogger(os.Stderr)
	h := host{
		loaded: loaded, watching: watching, rules: u.Rules, log: log, level: level, token: config.NewSecret(rand.Text()),
		read: u.read, reload: signals.reload, sensorReload: make(chan struct{}, 1),
	}
	return h.run(signals.stop)
}

// read reads the configuration of forwarder and sensor.
func (u *up) read() (*forwarder.Loaded, sensor.Config, error) {
	loaded, watching, err := u.load()
	if err != nil {
		return nil, sensor.Config{}, err
	}
	// Falcosidekick listens everywhere; on one host nobody else needs to reach it.
	if loaded.Source.Origin("listenaddress") == "default" {
		loaded.ListenAddress = "127.0.0.1"
	}
	if loaded.TLSServer.Deploy && loaded.TLSServer.MutualTLS {
		return nil, sensor.Config{}, errors.New("saker up has no client certificate for its own sensor: with tlsserver.mutualtls, run saker forwarder and saker-sensor")
	}
	return loaded, watching, nil
}

// host is one run of `saker up`.
type host struct {
	loaded   *forwarder.Loaded
	watching sensor.Config
	// rules are the rules files of the command line.
	rules []string
	log   *slog.Logger
	level *slog.LevelVar
	// read reads the configuration again, when one of its files has changed or reload asks
	// for it.
	read   func() (*forwarder.Loaded, sensor.Config, error)
	reload <-chan os.Signal
	// again is what was read last, of which the sensor hears through sensorReload.
	again        atomic.Pointer[reread]
	sensorReload chan struct{}
	// token is by which the forwarder knows its own sensor. It lives as long as the process.
	token config.Secret
}

// reread is a configuration that was read again.
type reread struct {
	loaded   *forwarder.Loaded
	watching sensor.Config
}

// run runs the forwarder until ctx ends, and beside it the sensor, which stops first so
// that its last alerts are still taken.
func (h *host) run(ctx context.Context) error {
	both, end := context.WithCancel(ctx)
	defer end()
	forwarding, endForwarder := context.WithCancel(context.WithoutCancel(ctx))
	defer endForwarder()

	ready := make(chan forwarder.Addresses, 1)
	var forwarderErr, sensorErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		forwarderErr = forwarder.Run(forwarding, h.loaded, forwarder.Options{
			Log: h.log, Level: h.level, Version: version.String(), SensorToken: h.token, Ready: func(a forwarder.Addresses) { ready <- a },
			Reload: h.readAgain, ReloadNow: h.reload, AuditJudge: auditJudge,
		})
	})
	select {
	case a := <-ready:
		sensorErr = h.sense(both, a)
	case <-both.Done():
	}
	endForwarder()
	wg.Wait()
	return errors.Join(sensorErr, forwarderErr)
}

// readAgain reads the configuration for the forwarder, which takes it up as it runs, and has
// the sensor take up its part.
func (h *host) readAgain() (*forwarder.Loaded, error) {
	loaded, watching, err := h.read()
	if err != nil {
		return nil, err
	}
	h.again.Store(&reread{loaded, watching})
	select {
	case h.sensorReload <- struct{}{}:
	default: // it has been told already
	}
	return loaded, nil
}

// sensorAgain is the sensor's part of what was read last, and which of its keys differ from
// those of the start.
func (h *host) sensorAgain(a forwarder.Addresses) (sensor.Config, []string, error) {
	next := h.again.Load()
	if next == nil { // only rules files have changed
		next = &reread{h.loaded, h.watching}
	}
	var keys []string
	for _, key := range next.loaded.Source.Changed(h.loaded.Source) {
		if own, ok := strings.CutPrefix(key, sensorPath+"."); ok {
			keys = append(keys, own)
		}
	}
	c, err := h.sensorConfig(next.watching, a)
	return c, keys, err
}

// sense runs the sensor until ctx ends. Where the kernel cannot be watched it says so and
// waits.
func (h *host) sense(ctx context.Context, a forwarder.Addresses) error {
	if err := probe.Check(); err != nil && h.watching.WatchesKernel() {
		fmt.Printf("The kernel of this host cannot be watched: %v\nOnly the forwarder runs. It takes alerts of other sensors.\n", err)
		h.greet(a)
		<-ctx.Done()
		return nil
	}
	c, err := h.sensorConfig(h.watching, a)
	if err != nil {
		return err
	}
	reopen, stop := sensing.OnReopen()
	defer stop()
	return sensor.Run(ctx, c, sensor.Options{
		Log: h.log, Version: version.String(), Rules: h.rules, Reopen: reopen,
		Reload: h.sensorReload, Read: func() (sensor.Config, []string, error) { return h.sensorAgain(a) },
		Ready: func(s sensor.Started) {
			fmt.Printf("Saker is watching this host with %d rules.\n", s.Rules)
			h.greet(a)
			fmt.Println("  try it      cat /etc/shadow")
			shrink(h.log)
		},
	})
}

// ownBatch is how many alerts the sensor posts at once to the forwarder beside it, which,
// unlike Falcosidekick, takes several.
const ownBatch = 100

// sensorConfig is the configuration c of the sensor beside a forwarder that listens on a.
func (h *host) sensorConfig(c sensor.Config, a forwarder.Addresses) (sensor.Config, error) {
	isDefault := func(key string) bool { return h.loaded.Source.Origin(sensorPath+"."+key) == "default" }
	// Falco's default writes to syslog; here the page and the terminal show alerts already.
	if isDefault("syslog_output.enabled") {
		c.Syslog.Enabled = false
	}
	// The forwarder beside it tells whether all is well.
	if isDefault("webserver.enabled") {
		c.Webserver.Enabled = false
	}
	if isDefault("spool.dir") {
		dir, err := h.loaded.DataFolder()
		if err != nil {
			return sensor.Config{}, err
		}
		c.Spool.Dir = filepath.Join(dir, "spool")
		if isDefault("audit.log.state") {
			c.Audit.Log.State = filepath.Join(dir, "audit.json")
		}
	}
	if isDefault("http_output.batch") {
		c.HTTP.Batch = ownBatch
	}
	c.HTTP.Enabled = true
	c.HTTP.URL = ingestURL(a)
	c.HTTP.UserAgent = "Saker/" + version.String()
	// The certificate is this program's own, and nobody stands between it and itself.
	c.HTTP.Insecure = a.IngestTLS
	c.HTTP.Token, c.HTTP.Username, c.HTTP.Password = h.token, "", config.Secret{}
	return c, nil
}

// greet says where to look.
func (h *host) greet(a forwarder.Addresses) {
	if a.Page != nil {
		scheme := "http"
		if h.loaded.UI.TLS {
			scheme = "https"
		}
		fmt.Printf("  alerts      %s://%s\n", scheme, local(a.Page))
	}
	fmt.Printf("  send alerts %s\n", ingestURL(a))
}

// ingestURL is where this host reaches the forwarder.
func ingestURL(a forwarder.Addresses) string {
	scheme := "http"
	if a.IngestTLS {
		scheme = "https"
	}
	return scheme + "://" + local(a.Ingest) + "/"
}

// local is how this host reaches a listener that may listen on all addresses.
func local(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
