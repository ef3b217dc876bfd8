// Package listen opens the forwarder's HTTP listeners, plain or TLS, and serves them until
// told to stop.
//
// It stands in front of ingest and of the page: what both need of a server (timeouts,
// connection and header limits, certificates that are read again when they change, a stop
// that lets running requests finish) is here once.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// Timeout bounds reading a request, writing its answer and idling between two, as in
	// Falcosidekick. A handler that streams moves its own deadlines.
	Timeout = 60 * time.Second
	// HeaderTimeout bounds reading a request's header. It is shorter, because a connection
	// that does not get so far is of no use to anybody.
	HeaderTimeout = 10 * time.Second
	// maxHeaderBytes bounds a request's header.
	maxHeaderBytes = 64 << 10
)

// Options are what a Server does beyond answering.
type Options struct {
	// Name stands in errors and logs: "ingest".
	Name string
	// TLS makes the server speak TLS, and HTTP/2 to clients that offer it. Nil is plain HTTP.
	TLS *tls.Config
	// MaxConnections bounds the open connections; more wait in the kernel's queue. 0 is no
	// bound.
	MaxConnections int
	// MaxPerAddress bounds the open connections from one address (for IPv6 its /64 network);
	// more are closed at once. 0 is no bound.
	MaxPerAddress int
	Log           *slog.Logger
}

// Server is an open listener and what answers on it.
type Server struct {
	name     string
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	secure   bool
}

// Open binds addr, "host:port", with port 0 for any free one. Nothing is served before Run.
// Close or Run must be called.
func Open(ctx context.Context, addr string, handler http.Handler, o Options) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the %s listener: %w", o.Name, err)
	}
	listener = limit(listener, o.MaxConnections, o.MaxPerAddress, o.Log)
	// Requests end with the server, not with the context that started it, so that they can
	// finish during a graceful stop.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return &Server{
		name: o.Name, listener: listener, cancel: cancel, secure: o.TLS != nil,
		http: &http.Server{
			Handler:     handler,
			ReadTimeout: Timeout, ReadHeaderTimeout: HeaderTimeout, WriteTimeout: Timeout, IdleTimeout: Timeout,
			MaxHeaderBytes: maxHeaderBytes,
			TLSConfig:      o.TLS,
			BaseContext:    func(net.Listener) context.Context { return base },
			// Failed handshakes and broken connections are the clients' affair.
			ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		},
	}, nil
}

// Addr is the address that is bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// OnStop registers f to be called when the server begins to stop; it is for ending
// streams, which would otherwise last out the grace period.
func (s *Server) OnStop(f func()) { s.http.RegisterOnShutdown(f) }

// Run serves until ctx ends, then takes no new requests and waits at most grace for the
// running ones. It returns an error when the listener breaks, or when requests had to be
// cut off.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	defer s.cancel()
	served := make(chan error, 1)
	go func() {
		if s.secure {
			served <- s.http.ServeTLS(s.listener, "", "")
		} else {
			served <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-served:
		s.http.Close()
		return fmt.Errorf("serve %s on %s: %w", s.name, s.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(stop)
	if err != nil {
		s.cancel()
		s.http.Close()
		err = fmt.Errorf("stop the %s server: requests were still running after %s", s.name, grace)
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Close releases a Server that was never run.
func (s *Server) Close() error {
	s.cancel()
	return s.listener.Close()
}
