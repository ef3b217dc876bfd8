package audit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/saker-security/saker/config"
)

// Config is the section "audit".
type Config struct {
	Webhook Webhook `key:"webhook"`
	Log     Log     `key:"log"`
}

// Webhook is the section "audit.webhook".
type Webhook struct {
	Enabled  bool          `key:"enabled" default:"false" doc:"Takes the audit events that the API server posts."`
	Listen   string        `key:"listen" default:"127.0.0.1:9765" doc:"Address to listen on. Whoever can reach it can make up events, unless there is a token or a client certificate."`
	Path     string        `key:"path" default:"/k8s-audit" doc:"Path that events are posted to."`
	TLSCert  string        `key:"tls_cert" doc:"File with the server's certificate; with it HTTPS is spoken. A new one is taken without a restart."`
	TLSKey   string        `key:"tls_key" doc:"File with the certificate's key. It may be the same file."`
	ClientCA string        `key:"client_ca" doc:"File with the authorities of client certificates; with it every client must show one."`
	Token    config.Secret `key:"token" doc:"Token that the API server has to send, as Bearer in the Authorization header."`
}

// Log is the section "audit.log".
type Log struct {
	Path  string `key:"path" doc:"File that the API server writes audit events to (--audit-log-path), one JSON text a line. It is followed through rotation, and waited for when it does not exist."`
	From  string `key:"from" default:"end" oneof:"start,end" doc:"Where to begin in a file that is seen for the first time. One that appears later is read from its start."`
	State string `key:"state" default:"/var/lib/saker/audit.json" doc:"File that remembers how far was read, over restarts; empty for none."`
}

// Enabled says whether there is anything to watch.
func (c Config) Enabled() bool { return c.Webhook.Enabled || c.Log.Path != "" }

// Validate reports what cannot work.
func (w Webhook) Validate() error {
	if !w.Enabled {
		return nil
	}
	var errs []error
	bad := func(key, text string) { errs = append(errs, config.At(key, errors.New(text))) }
	if _, _, err := net.SplitHostPort(w.Listen); err != nil {
		errs = append(errs, config.At("listen", fmt.Errorf("must be an address such as 127.0.0.1:9765, not %q", w.Listen)))
	}
	if !strings.HasPrefix(w.Path, "/") {
		bad("path", "must begin with /")
	}
	switch {
	case w.TLSCert != "" && w.TLSKey == "":
		bad("tls_key", "is required when tls_cert is set")
	case w.TLSCert == "" && w.TLSKey != "":
		bad("tls_cert", "is required when tls_key is set")
	case w.TLSCert == "" && w.ClientCA != "":
		bad("client_ca", "needs tls_cert and tls_key")
	}
	return errors.Join(errs...)
}

// warnings are what is unsafe about the settings, though it works.
func (w Webhook) warnings() []string {
	if w.loopback() {
		return nil
	}
	var all []string
	if w.Token.IsZero() && w.ClientCA == "" {
		all = append(all, "anybody who reaches the audit webhook can make up events; audit.webhook.token or client_ca prevents it")
	}
	if w.TLSCert == "" {
		all = append(all, "the audit webhook speaks HTTP without TLS, so that others on the network may read the events and the token; audit.webhook.tls_cert and tls_key prevent it")
	}
	return all
}

// loopback says whether only this machine can reach the webhook.
func (w Webhook) loopback() bool {
	host, _, err := net.SplitHostPort(w.Listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
