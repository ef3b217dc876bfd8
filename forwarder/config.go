package forwarder

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/logs"
	"github.com/saker-security/saker/forwarder/metrics"
	"github.com/saker-security/saker/forwarder/trace"
	"github.com/saker-security/saker/outputs"
)

// Config are the forwarder's own settings; those of the outputs stand beside them in the
// file. Names and defaults are Falcosidekick's where it has the key.
type Config struct {
	ListenAddress string `key:"listenaddress" doc:"Address on which events are taken; empty is all addresses."`
	ListenPort    int    `key:"listenport" default:"2801" doc:"Port on which events are taken; 0 is any free one."`
	Debug         bool   `key:"debug" doc:"Log debug lines, whatever log.level says."`
	ingest.Enrichment
	MutualTLSFilesPath string          `key:"mutualtlsfilespath" default:"/etc/certs" doc:"Folder searched for client.crt, client.key and ca.crt when mutualtlsclient does not name them."`
	MutualTLSClient    MutualTLSClient `key:"mutualtlsclient"`
	TLSClient          TLSClient       `key:"tlsclient"`
	TLSServer          TLSServer       `key:"tlsserver"`
	Auth               auth.Config     `key:"auth"`
	Limits             ingest.Limits   `key:"limits"`
	Ingest             ingest.Config   `key:"ingest"`
	Prometheus         metrics.Config  `key:"prometheus"`

	DataDir         string         `key:"datadir" env:"SAKER_DATA_DIR" doc:"Folder for everything that must survive a restart. Empty is /var/lib/saker for root and saker in the state folder of any other user."`
	Journal         journal.Config `key:"journal"`
	UI              UI             `key:"ui"`
	Tracing         trace.Config   `key:"tracing"`
	Log             Log            `key:"log"`
	ShutdownTimeout time.Duration  `key:"shutdowntimeout" default:"20s" doc:"Most time that a graceful stop takes. What is not delivered by then is delivered after the next start."`
}

// MutualTLSClient is the section "mutualtlsclient".
type MutualTLSClient struct {
	CertFile   string `key:"certfile" doc:"Client certificate for outputs with mutualtls."`
	KeyFile    string `key:"keyfile" doc:"Key of that certificate."`
	CACertFile string `key:"cacertfile" doc:"Authority that these outputs trust in addition."`
}

// TLSClient is the section "tlsclient".
type TLSClient struct {
	CACertFile string `key:"cacertfile" doc:"Authority that all outputs trust in addition to the system's."`
}

// TLSServer is the section "tlsserver".
type TLSServer struct {
	Deploy     bool     `key:"deploy" doc:"Serve TLS instead of plain HTTP on listenport."`
	CertFile   string   `key:"certfile" default:"/etc/certs/server/server.crt" doc:"Server certificate. It is read again when it changes."`
	KeyFile    string   `key:"keyfile" default:"/etc/certs/server/server.key" doc:"Key of the server certificate."`
	MutualTLS  bool     `key:"mutualtls" doc:"Require a client certificate. Needs deploy."`
	CACertFile string   `key:"cacertfile" default:"/etc/certs/server/ca.crt" doc:"Authority of the client certificates."`
	NoTLSPort  int      `key:"notlsport" default:"2810" doc:"Port of a second server, without TLS, for notlspaths."`
	NoTLSPaths []string `key:"notlspaths" doc:"Paths moved from the TLS server to the plain one: /, /ping, /healthz, /readyz, /test, /metrics."`
}

// UI is the section "ui".
type UI struct {
	Enabled       bool   `key:"enabled" default:"true" doc:"Serve the web page and its API."`
	ListenAddress string `key:"listenaddress" default:"127.0.0.1" doc:"Address of the page; empty is all addresses. Set auth before opening it to others."`
	ListenPort    int    `key:"listenport" default:"2802" doc:"Port of the page; 0 is any free one."`
	TLS           bool   `key:"tls" doc:"Serve the page with TLS, with the certificate of tlsserver."`
}

// Log is the section "log".
type Log struct {
	Level  string `key:"level" default:"info" oneof:"debug,info,warn,error" doc:"Least severe lines that are logged."`
	Format string `key:"format" default:"text" oneof:"text,json" doc:"Format of the log on standard error."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var errs []error
	port := func(key string, n int) {
		if n < 0 || n > 65535 {
			errs = append(errs, config.At(key, fmt.Errorf("must be a port from 0 to 65535, not %d", n)))
		}
	}
	address := func(key, text string) {
		if text != "" && net.ParseIP(text) == nil {
			errs = append(errs, config.At(key, fmt.Errorf("must be an IP address, not %q", text)))
		}
	}
	address("listenaddress", c.ListenAddress)
	port("listenport", c.ListenPort)
	port("tlsserver.notlsport", c.TLSServer.NoTLSPort)
	address("ui.listenaddress", c.UI.ListenAddress)
	port("ui.listenport", c.UI.ListenPort)
	if c.ShutdownTimeout < time.Second {
		errs = append(errs, config.At("shutdowntimeout", fmt.Errorf("must be at least 1s, not %s", c.ShutdownTimeout)))
	}
	return errors.Join(errs...)
}

// warnings are about settings without the effect that they seem to have.
func (c Config) warnings() config.Problems {
	var all config.Problems
	warn := func(key, format string, args ...any) {
		all = append(all, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	if c.TLSServer.MutualTLS && !c.TLSServer.Deploy {
		warn("tlsserver.mutualtls", "has no effect without tlsserver.deploy: the server speaks plain HTTP")
	}
	for _, p := range c.TLSServer.NoTLSPaths {
		if !slices.Contains(ingest.Paths, p) {
			warn("tlsserver.notlspaths", "%q is ignored: it must be one of %s", p, strings.Join(ingest.Paths, ", "))
		}
	}
	if len(c.TLSServer.NoTLSPaths) > 0 && !c.TLSServer.Deploy {
		warn("tlsserver.notlspaths", "has no effect without tlsserver.deploy")
	}
	if c.UI.Enabled && !isLoopback(c.UI.ListenAddress) && !c.Auth.Enabled() {
		warn("ui.listenaddress", "everybody who reaches the page can read all alerts: set auth.username and auth.password")
	}
	return all
}

// isLoopback reports whether only this machine reaches address.
func isLoopback(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && ip.IsLoopback()
}

// movedPaths are the paths of the plain server beside the TLS server.
func (c TLSServer) movedPaths() []string {
	if !c.Deploy {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.NoTLSPaths), func(p string) bool { return !slices.Contains(ingest.Paths, p) })
}

// Logger returns the logger that c asks for, writing to w.
func (c Config) Logger(w io.Writer) *slog.Logger {
	log, _ := c.LevelLogger(w)
	return log
}

// LevelLogger returns the logger that c asks for, writing to w, and what sets its level.
func (c Config) LevelLogger(w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.level())
	options := &slog.HandlerOptions{Level: level}
	lines := slog.Handler(slog.NewTextHandler(w, options))
	if c.Log.Format == "json" {
		lines = slog.NewJSONHandler(w, options)
	}
	return slog.New(logs.Summarize(lines)), level
}

// level is the level that c asks for.
func (c Config) level() (level slog.Level) {
	if c.Debug {
		return slog.LevelDebug
	}
	// The loader has checked the text; the zero level is info.
	_ = level.UnmarshalText([]byte(c.Log.Level))
	return level
}

// DataFolder returns datadir, or the default for who runs the program.
func (c Config) DataFolder() (string, error) {
	if c.DataDir != "" {
		return c.DataDir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/saker", nil
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("choose a data folder: set datadir, because %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "saker"), nil
}

// env is what the constructors of outputs get.
func (c Config) env(version string, log *slog.Logger) outputs.Env {
	return outputs.Env{
		Log:          log,
		UserAgent:    "Saker/" + cmp.Or(version, "dev"),
		CustomFields: c.fieldNames(),
		TLS: outputs.TLSClient{
			CACertFile:       c.TLSClient.CACertFile,
			MutualFilesPath:  c.MutualTLSFilesPath,
			MutualCertFile:   c.MutualTLSClient.CertFile,
			MutualKeyFile:    c.MutualTLSClient.KeyFile,
			MutualCACertFile: c.MutualTLSClient.CACertFile,
		},
	}
}
