package forwarder

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"

	"github.com/saker-security/saker/forwarder/listen"
)

// The servers' names in logs and errors.
const (
	serverIngest = "ingest"
	serverPlain  = "plain ingest"
	serverPage   = "page"
)

// server is an open listener with its name.
type server struct {
	*listen.Server
	name   string
	secure bool
}

// certificates are the TLS settings of the servers; nil is plain HTTP.
type certificates struct{ ingest, page *tls.Config }

func (f *forwarder) readCertificates() (c certificates, err error) {
	files := listen.Certificates{CertFile: f.TLSServer.CertFile, KeyFile: f.TLSServer.KeyFile}
	if f.UI.Enabled && f.UI.TLS {
		if c.page, err = listen.TLS(files, f.Log); err != nil {
			return c, err
		}
	}
	if !f.TLSServer.Deploy {
		return c, nil
	}
	if f.TLSServer.MutualTLS {
		files.ClientCAFile = f.TLSServer.CACertFile
	}
	c.ingest, err = listen.TLS(files, f.Log)
	return c, err
}

// openListeners opens all listeners; on an error those already open are closed.
func (f *forwarder) openListeners(ctx context.Context, c certificates) (err error) {
	defer func() {
		if err != nil {
			for _, s := range f.servers {
				s.Close()
			}
		}
	}()
	if _, err = f.listen(ctx, serverIngest, f.ListenAddress, f.ListenPort, &f.doors.ingest, c.ingest); err != nil {
		return err
	}
	if len(f.TLSServer.movedPaths()) > 0 {
		if _, err = f.listen(ctx, serverPlain, f.ListenAddress, f.TLSServer.NoTLSPort, &f.doors.plain, nil); err != nil {
			return err
		}
	}
	if !f.UI.Enabled {
		return nil
	}
	s, err := f.listen(ctx, serverPage, f.UI.ListenAddress, f.UI.ListenPort, &f.doors.page, c.page)
	if err == nil {
		s.OnStop(f.doors.stop)
	}
	return err
}

func (f *forwarder) listen(ctx context.Context, name, address string, port int, h http.Handler, secure *tls.Config) (*listen.Server, error) {
	s, err := listen.Open(ctx, net.JoinHostPort(address, strconv.Itoa(port)), h, listen.Options{
		Name: name, TLS: secure, MaxConnections: f.Limits.MaxConnections, MaxPerAddress: f.Limits.MaxPerAddress, Log: f.Log,
	})
	if err != nil {
		return nil, err
	}
	f.servers = append(f.servers, server{s, name, secure != nil})
	return s, nil
}

// notReady returns why events cannot be taken now.
func (f *forwarder) notReady() []string {
	if err := f.journal.Ready(); err != nil {
		return []string{"journal: " + err.Error()}
	}
	return nil
}
