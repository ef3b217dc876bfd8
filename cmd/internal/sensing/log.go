package sensing

import (
	"bytes"
	"log/slog"
	"log/syslog"
	"os"

	"github.com/saker-security/saker/sensor"
)

// newLog returns the log that the settings describe, and what changes its level. That there
// is no syslog here, as in a container, is a warning: Falco's own file asks for one.
func newLog(c sensor.Log, debug bool) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Slog(debug))
	options := &slog.HandlerOptions{Level: level}
	var handlers []slog.Handler
	if c.LogStderr {
		handlers = append(handlers, slog.NewTextHandler(os.Stderr, options))
	}
	var missing error
	if c.LogSyslog {
		w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, "saker-sensor")
		if missing = err; err == nil {
			handlers = append(handlers, slog.NewTextHandler(syslogWriter{w}, options))
		}
	}
	log := slog.New(slog.NewMultiHandler(handlers...))
	if len(handlers) == 1 {
		log = slog.New(handlers[0])
	}
	if missing != nil {
		log.Warn("nothing is logged to syslog, as log_syslog says", "error", missing)
	}
	return log, level
}

// syslogWriter gives each line the severity of its level.
type syslogWriter struct{ *syslog.Writer }

func (w syslogWriter) Write(line []byte) (int, error) {
	send := w.Info
	switch {
	case bytes.Contains(line, []byte("level=ERROR")):
		send = w.Err
	case bytes.Contains(line, []byte("level=WARN")):
		send = w.Warning
	case bytes.Contains(line, []byte("level=DEBUG")):
		send = w.Debug
	}
	return len(line), send(string(line))
}
