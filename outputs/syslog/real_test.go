package syslog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRealRsyslogHasEveryMessageWhole(t *testing.T) {
	outputstest.NoLeak(t)
	var file string
	address := outputstest.StartAddress(t, outputstest.Program{
		Path: "/usr/sbin/rsyslogd",
		Prepare: func(t *testing.T, address, dir string) {
			file = filepath.Join(dir, "messages")
			_, port, _ := strings.Cut(address, ":")
			text := fmt.Sprintf(`global(maxMessageSize="256k" workDirectory=%q)
module(load="imtcp")
template(name="raw" type="string" string="%%rawmsg%%\n")
input(type="imtcp" address="127.0.0.1" port=%q)
action(type="omfile" file=%q template="raw")
`, dir, port, file)
			if err := os.WriteFile(filepath.Join(dir, "rsyslog.conf"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Args: func(_, dir string) []string {
			return []string{"-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "pid")}
		},
		IsUp: outputstest.Accepts,
	})
	host, port, _ := strings.Cut(address, ":")
	for _, extra := range []string{"", ", header: rfc5424", ", framing: octetcounting", ", format: cef"} {
		s := open(t, "{host: "+host+", port: "+port+extra+"}", outputstest.Env(t))
		batch := all()
		for i := range batch { // a message may be longer than rsyslog's
			batch[i].Output = batch[i].Output[:min(len(batch[i].Output), 1000)]
		}
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		outputstest.Eventually(t, "rsyslog has written all messages"+extra, func() bool {
			text, err := os.ReadFile(file)
			return err == nil && hasAll(string(text), batch)
		})
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func hasAll(text string, batch []event.Event) bool {
	for _, e := range batch {
		if strings.Count(text, e.UUID) != 1 {
			return false
		}
	}
	return true
}
