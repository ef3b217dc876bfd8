package report

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
)

// Config says where alerts go and in which form. The keys are those of falco.yaml, at its
// top level, and a few more.
type Config struct {
	Format

	Stdout struct {
		Enabled bool `key:"enabled" default:"true" doc:"Writes one line an alert to standard output."`
	} `key:"stdout_output"`
	File   File `key:"file_output"`
	Syslog struct {
		Enabled bool `key:"enabled" default:"true" doc:"Sends each alert to the local syslog, its priority as the severity."`
	} `key:"syslog_output"`
	Program Program       `key:"program_output"`
	HTTP    HTTP          `key:"http_output"`
	Spool   Spool         `key:"spool"`
	Queue   Queue         `key:"outputs_queue"`
	Timeout time.Duration `key:"output_timeout" default:"2s" unit:"ms" doc:"How long standard output, the file, syslog or the program may take with an alert before that is logged; the program is then ended."`
}

// Program is the program that alerts are given to.
type Program struct {
	Enabled   bool   `key:"enabled" default:"false" doc:"Gives one line an alert to a program on its standard input."`
	KeepAlive bool   `key:"keep_alive" default:"false" doc:"Keeps the program running between alerts; SIGUSR1 starts it anew."`
	Command   string `key:"program" doc:"Command of the shell."`
}

// Queue is what waits for each way out.
type Queue struct {
	Capacity int `key:"capacity" default:"0" doc:"Alerts that may wait in memory for each way out; what comes then is given up and counted. 0 means 4096."`
}

// maxCapacity limits outputs_queue.capacity.
const maxCapacity = 1 << 20

// Format is the form of alerts on standard output, in the file and in syslog. What the
// includes leave out is left out of what is posted too; the posted form is always JSON.
type Format struct {
	JSON                bool `key:"json_output" default:"false" doc:"Writes alerts as JSON rather than as text."`
	IncludeOutput       bool `key:"json_include_output_property" default:"true" doc:"Has the whole text of the alert in its JSON."`
	IncludeMessage      bool `key:"json_include_message_property" default:"false" doc:"Has the text without time and priority in the JSON."`
	IncludeOutputFields bool `key:"json_include_output_fields_property" default:"true" doc:"Has the output fields in the JSON."`
	IncludeTags         bool `key:"json_include_tags_property" default:"true" doc:"Has the rule's tags in the JSON."`
	ISOTime             bool `key:"time_format_iso_8601" default:"false" doc:"Starts the text of an alert with date and time in UTC rather than with the local time of day."`
}

// File is the file that alerts are appended to.
type File struct {
	Enabled   bool   `key:"enabled" default:"false" doc:"Appends one line an alert to a file."`
	KeepAlive bool   `key:"keep_alive" default:"false" doc:"Keeps the file open between alerts; SIGUSR1 opens it anew."`
	Filename  string `key:"filename" default:"./events.txt" doc:"Name of the file."`
}

// HTTP is the forwarder, or anything else that takes Falco's alerts.
type HTTP struct {
	Enabled    bool          `key:"enabled" default:"false" doc:"Posts each alert as JSON, and again until it is accepted."`
	URL        string        `key:"url" doc:"Where to post, for example http://saker:2801."`
	UserAgent  string        `key:"user_agent" default:"falcosecurity/falco" doc:"User-Agent header."`
	Token      config.Secret `key:"token" doc:"Token for the Authorization header, sent as Bearer."`
	Username   string        `key:"username" doc:"User for basic authentication."`
	Password   config.Secret `key:"password" doc:"Password for basic authentication."`
	Insecure   bool          `key:"insecure" default:"false" doc:"Accepts any certificate of the server."`
	CACert     string        `key:"ca_cert" doc:"File with a certificate authority to accept beside the system's."`
	CABundle   string        `key:"ca_bundle" doc:"File with several certificate authorities to accept beside the system's."`
	CAPath     string        `key:"ca_path" doc:"Folder with files of certificate authorities to accept beside the system's."`
	MTLS       bool          `key:"mtls" default:"false" doc:"Shows a client certificate."`
	ClientCert string        `key:"client_cert" default:"/etc/ssl/certs/client.crt" doc:"File with the client certificate."`
	ClientKey  string        `key:"client_key" default:"/etc/ssl/certs/client.key" doc:"File with the key of the client certificate."`
	Compress   bool          `key:"compress_uploads" default:"false" doc:"Compresses what is posted with gzip; Saker's forwarder takes it, Falcosidekick does not."`
	KeepAlive  bool          `key:"keep_alive" default:"true" doc:"Keeps the connection between alerts."`
	Batch      int           `key:"batch" default:"1" doc:"The most alerts in one request, one a line. More than 1 is for Saker's forwarder only."`
	Timeout    time.Duration `key:"timeout" default:"10s" unit:"s" doc:"How long one attempt may take."`
}

// Spool is where alerts wait on disk while they can't be posted.
type Spool struct {
	Dir      string        `key:"dir" default:"/var/lib/saker/spool" doc:"Folder for alerts that could not be posted yet; empty keeps them in memory only."`
	MaxBytes config.Bytes  `key:"maxbytes" default:"64MiB" doc:"The most disk space they may take; beyond it the oldest are dropped."`
	MaxAge   time.Duration `key:"maxage" default:"168h" doc:"How long they may wait; 0 for ever."`
	Sync     time.Duration `key:"sync" default:"1s" doc:"How long they may wait to be forced to the disk, so that they survive a crash of the machine; 0 forces each. A crash of the sensor alone loses nothing."`
}

// minSpoolBytes leaves room for a few of the largest events.
const minSpoolBytes = 4 << 20

// maxBatch limits the alerts of one request.
const maxBatch = 1000

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(key, fmt.Errorf(format, args...)))
	}
	if c.File.Enabled && c.File.Filename == "" {
		bad("file_output.filename", "is required when file_output is enabled")
	}
	if c.Program.Enabled && c.Program.Command == "" {
		bad("program_output.program", "is required when program_output is enabled")
	}
	if c.Queue.Capacity < 0 || c.Queue.Capacity > maxCapacity {
		bad("outputs_queue.capacity", "must be between 0 and %d, not %d", maxCapacity, c.Queue.Capacity)
	}
	if !c.HTTP.Enabled {
		return errors.Join(errs...)
	}
	if err := checkURL(c.HTTP.URL); err != nil {
		bad("http_output.url", "%w", err)
	}
	if !c.HTTP.Token.IsZero() && c.HTTP.Username != "" {
		bad("http_output.token", "excludes username and password")
	}
	if c.HTTP.MTLS && (c.HTTP.ClientCert == "" || c.HTTP.ClientKey == "") {
		bad("http_output.mtls", "needs client_cert and client_key")
	}
	if c.HTTP.Batch < 1 || c.HTTP.Batch > maxBatch {
		bad("http_output.batch", "must be between 1 and %d, not %d", maxBatch, c.HTTP.Batch)
	}
	if c.HTTP.Timeout <= 0 {
		bad("http_output.timeout", "must be more than 0")
	}
	if c.Spool.Dir != "" && c.Spool.MaxBytes < minSpoolBytes {
		bad("spool.maxbytes", "must be at least %v", config.Bytes(minSpoolBytes))
	}
	return errors.Join(errs...)
}

// checkURL keeps the URL out of its errors, because it may hold a password.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("is required when http_output is enabled")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be a URL such as http://saker:2801")
	case strings.Contains(u.Host, ","):
		return errors.New("must be one URL")
	}
	return nil
}
