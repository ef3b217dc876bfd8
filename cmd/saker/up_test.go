package main

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
)

// beside returns the configuration of a sensor beside a forwarder with the given file.
func beside(t *testing.T, text string, a forwarder.Addresses) sensor.Config {
	t.Helper()
	var watching sensor.Config
	loaded, err := forwarder.LoadConfig(config.Source{File: "saker.yaml", Text: []byte("datadir: /data\n" + text)},
		config.Section{Path: sensorPath, Into: []any{&watching}})
	if err != nil {
		t.Fatal(err)
	}
	h := host{loaded: loaded, watching: watching, token: config.NewSecret("once")}
	c, err := h.sensorConfig(watching, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the sensor would not start: %v", err)
	}
	return c
}

func TestTheSensorBesideTheForwarderReportsToIt(t *testing.T) {
	local := forwarder.Addresses{Ingest: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2801}}
	c := beside(t, "", local)
	if !c.HTTP.Enabled || c.HTTP.URL != "http://127.0.0.1:2801/" || c.HTTP.Token.Reveal() != "once" || c.HTTP.Insecure {
		t.Errorf("got %+v", c.HTTP)
	}
	if !strings.HasPrefix(c.HTTP.UserAgent, "Saker/") || c.Syslog.Enabled || !c.Stdout.Enabled {
		t.Errorf("got user agent %q, syslog %t, standard output %t", c.HTTP.UserAgent, c.Syslog.Enabled, c.Stdout.Enabled)
	}

	everywhere := forwarder.Addresses{Ingest: &net.TCPAddr{IP: net.IPv6unspecified, Port: 2999}, IngestTLS: true}
	if c := beside(t, "", everywhere); c.HTTP.URL != "https://localhost:2999/" || !c.HTTP.Insecure {
		t.Errorf("with TLS on all addresses got %q, insecure %t", c.HTTP.URL, c.HTTP.Insecure)
	}
	// What was meant for a forwarder elsewhere does not get in the way.
	c = beside(t, "sensor: {http_output: {enabled: true, url: 'https://elsewhere.test', username: ann, password: x}}", local)
	if c.HTTP.URL != "http://127.0.0.1:2801/" || c.HTTP.Username != "" || !c.HTTP.Password.IsZero() {
		t.Errorf("got %+v", c.HTTP)
	}
}

// Two programs with data folders of their own must not share a spool.
func TestTheSpoolOfTheSensorBesideTheForwarderIsInTheDataFolder(t *testing.T) {
	a := forwarder.Addresses{Ingest: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2801}}
	for text, want := range map[string]string{
		"":                                      filepath.Join("/data", "spool"),
		"sensor: {spool: {dir: /elsewhere}}":    "/elsewhere",
		"sensor: {spool: {dir: ''}}":            "",
		"sensor: {spool: {maxbytes: 128MiB}}":   filepath.Join("/data", "spool"),
		"sensor: {syslog_output: {enabled: 1}}": filepath.Join("/data", "spool"),
	} {
		if got := beside(t, text, a).Spool.Dir; got != want {
			t.Errorf("%q: the spool is in %q, want %q", text, got, want)
		}
	}
}

func TestTheSensorTakesUpItsPartOfAConfigurationThatHasChanged(t *testing.T) {
	a := forwarder.Addresses{Ingest: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2801}}
	load := func(text string) (*forwarder.Loaded, sensor.Config, error) {
		var watching sensor.Config
		loaded, err := forwarder.LoadConfig(config.Source{File: "saker.yaml", Text: []byte("datadir: /data\n" + text)},
			config.Section{Path: sensorPath, Into: []any{&watching}})
		return loaded, watching, err
	}
	loaded, watching, err := load("sensor: {priority: error}")
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	h := host{
		loaded: loaded, watching: watching, token: config.NewSecret("once"), sensorReload: make(chan struct{}, 1),
		read: func() (*forwarder.Loaded, sensor.Config, error) { return load(text) },
	}
	if c, keys, err := h.sensorAgain(a); err != nil || len(keys) != 0 || c.Priority != event.Error {
		t.Errorf("before any change: priority %v, changed %v, %v", c.Priority, keys, err)
	}
	text = "sensor: {priority: notice, engine: {modern_ebpf: {buf_size_preset: 3}}}\nlistenport: 2888"
	for range 3 { // nobody listens to the sensor's part yet, which must not hold the forwarder up
		if _, err := h.readAgain(); err != nil {
			t.Fatal(err)
		}
	}
	<-h.sensorReload
	c, keys, err := h.sensorAgain(a)
	if err != nil || c.Priority != event.Notice || c.HTTP.Token.Reveal() != "once" ||
		!slices.Equal(keys, []string{"engine.modern_ebpf.buf_size_preset", "priority"}) {
		t.Errorf("priority %v, changed %v, %v", c.Priority, keys, err)
	}
	text = "sensor: {priority: high}"
	if _, err := h.readAgain(); err == nil {
		t.Error("a mistake is no error")
	}
	if c, _, _ := h.sensorAgain(a); c.Priority != event.Notice {
		t.Errorf("after a mistake the priority is %v", c.Priority)
	}
}
