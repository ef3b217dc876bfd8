// Package status tells how the sensor is doing: to Kubernetes whether it is alive, to
// falcoctl which rules it takes, to Prometheus in numbers, and to receivers of alerts as
// Falco's metrics snapshot.
//
// It stands beside the flow of events and only asks: the sensor hands it a function that
// makes a Snapshot. Paths, names and fields are Falco's where Falco has them.
//
//	GET /healthz    200 {"status": "ok"}, or 503 and what is wrong
//	GET /versions   versions, as falcoctl reads them
//	GET /metrics    Prometheus
package status

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	metricsPath  = "/metrics"
	versionsPath = "/versions"
)

const (
	// listenAgain is how often a port that something else has is tried again.
	listenAgain = 10 * time.Second
	// requestTimeout bounds everything about one request.
	requestTimeout = 10 * time.Second
	// maxConnections bounds what is open at once.
	maxConnections = 64
	maxHeaderBytes = 16 << 10
)

// Options are what a Server is made of.
type Options struct {
	Config Config
	Log    *slog.Logger
	// Health says what is wrong, nil if nothing is. It must return at once.
	Health func() error
	// Snapshot is asked at every scrape, from several goroutines.
	Snapshot func() Snapshot
	// Plugins are the plugins of Falco whose work the sensor does, with their versions.
	Plugins map[string]string
	// Ready, if any, is called with the address once it listens.
	Ready func(net.Addr)
}

// Serve answers until ctx ends. A port that is taken is tried again every so often: the
// sensor watches meanwhile.
func Serve(ctx context.Context, o Options) error {
	server := &http.Server{
		Handler:     Handler(o),
		ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if o.Config.TLS {
		certificate, err := tls.LoadX509KeyPair(o.Config.Certificate, o.Config.Certificate)
		if err != nil {
			return fmt.Errorf("load the certificate of the web server: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	listener := listen(ctx, o)
	if listener == nil {
		return nil
	}
	if o.Ready != nil {
		o.Ready(listener.Addr())
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	var err error
	if o.Config.TLS {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the sensor's status: %w", err)
}

// listen listens, however long the port is taken. It returns nil when ctx ends before.
func listen(ctx context.Context, o Options) net.Listener {
	address := net.JoinHostPort(o.Config.Address, strconv.Itoa(o.Config.Port))
	var c net.ListenConfig
	for told := false; ; told = true {
		listener, err := c.Listen(ctx, "tcp", address)
		if err == nil {
			o.Log.Info("the sensor's status is served", "address", listener.Addr().String())
			return netutil.LimitListener(listener, maxConnections)
		}
		if !told && ctx.Err() == nil {
			o.Log.Warn("the sensor's status cannot be served yet; webserver.listen_port is another port", "error", err)
		}
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// Handler answers the paths.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.Config.Healthz, func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Health(); err != nil {
			answer(w, http.StatusServiceUnavailable, map[string]string{"status": err.Error()})
			return
		}
		// Byte for byte what Falco answers.
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status": "ok"}`))
	})
	mux.HandleFunc("GET "+versionsPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, versions(o.Snapshot(), o.Plugins))
	})
	if o.Config.Prometheus {
		mux.Handle("GET "+metricsPath, promhttp.HandlerFor(newRegistry(o.Snapshot), promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4,
		}))
	}
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}

// versions are what falcoctl asks for, to choose rules that the engine takes. What only
// exists in Falco has the version of Saker.
func versions(s Snapshot, plugins map[string]string) map[string]any {
	return map[string]any{
		"falco_version": s.Version, "saker_version": s.Version,
		"engine_version": minor(s.EngineVersion), "engine_version_semver": s.EngineVersion,
		"plugin_versions": plugins,
	}
}

// minor is the older form of an engine's version: 63 for 0.63.0.
func minor(version string) string {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return version
	}
	return strconv.Itoa(minor)
}
