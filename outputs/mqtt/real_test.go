package mqtt

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// write writes a file for the server's account to read.
func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// startMosquitto runs Debian's Mosquitto with one user, who may write to falco/#, and with
// the lines of config.
func startMosquitto(t *testing.T, config func(dir string) string) string {
	t.Helper()
	return outputstest.StartAddress(t, outputstest.Program{
		Path: "/usr/sbin/mosquitto",
		User: "mosquitto",
		Prepare: func(t *testing.T, address, dir string) {
			users := write(t, dir, "users", nil)
			for _, user := range []string{"saker", "reader"} {
				if out, err := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", users, user, password).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if err := os.Chmod(users, 0o644); err != nil {
				t.Fatal(err)
			}
			acl := write(t, dir, "acl", []byte("user saker\ntopic write falco/#\nuser reader\ntopic read #\n"))
			_, port, _ := strings.Cut(address, ":")
			text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\nacl_file %s\nlog_dest stderr\n", port, users, acl)
			if config != nil {
				text += config(dir)
			}
			write(t, dir, "mosquitto.conf", []byte(text))
		},
		Args: func(_, dir string) []string { return []string{"-c", filepath.Join(dir, "mosquitto.conf")} },
		IsUp: outputstest.Accepts,
	})
}

// listenTo returns the messages of a topic.
func listenTo(t *testing.T, address, topic string) <-chan mqtt.Message {
	t.Helper()
	messages := make(chan mqtt.Message, 1000)
	o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetUsername("reader").SetPassword(password).SetClientID("reader")
	client := mqtt.NewClient(o)
	done := func(token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
			t.Fatalf("the reader: %v", token.Error())
		}
	}
	done(client.Connect())
	t.Cleanup(func() { client.Disconnect(100) })
	done(client.Subscribe(topic, 2, func(_ mqtt.Client, m mqtt.Message) { messages <- m }))
	return messages
}

func await(t *testing.T, messages <-chan mqtt.Message) mqtt.Message {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("waited too long for a message")
	}
	return nil
}

func TestRealMosquittoTakesEveryEventAtEachQoS(t *testing.T) {
	address := startMosquitto(t, nil)
	messages := listenTo(t, address, "falco/events")
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	for qos := range 3 {
		if err := open(t, address, fmt.Sprintf(", qos: %d", qos)).Send(t.Context(), batch); err != nil {
			t.Fatalf("qos %d: %v", qos, err)
		}
		for i, e := range batch {
			m := await(t, messages)
			if string(m.Payload()) != string(e.AppendJSON(nil)) || m.Topic() != "falco/events" || int(m.Qos()) != qos {
				t.Fatalf("qos %d: message %d is %s on %s with QoS %d", qos, i, m.Payload(), m.Topic(), m.Qos())
			}
		}
	}
}

func TestRealMosquittoKeepsTheRetainedEvent(t *testing.T) {
	address := startMosquitto(t, nil)
	if err := open(t, address, ", retained: true").Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if m := await(t, listenTo(t, address, "falco/#")); !m.Retained() || string(m.Payload()) != string(one[0].AppendJSON(nil)) {
		t.Errorf("got %s, retained %t", m.Payload(), m.Retained())
	}
}

func TestRealMosquittoRefusesAWrongPassword(t *testing.T) {
	address := startMosquitto(t, nil)
	err := open(t, address, "wr0ng").Send(t.Context(), one)
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(fmt.Sprint(err), "connect to MQTT") {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecretIn(t, "wr0ng", err)
}

func TestRealMosquittoWithCertificatesOnBothSides(t *testing.T) {
	ca := outputstest.NewCA(t)
	own := t.TempDir()
	cert, key := ca.Issue(t, "saker")
	write(t, own, "client.crt", cert)
	write(t, own, "client.key", key)
	write(t, own, "ca.crt", ca.PEM)
	address := startMosquitto(t, func(dir string) string {
		cert, key := ca.Issue(t, "mosquitto")
		return fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n",
			write(t, dir, "ca.crt", ca.PEM), write(t, dir, "server.crt", cert), write(t, dir, "server.key", key))
	})
	send := func(settings string, tls outputs.TLSClient) error {
		env := outputstest.Env(t)
		env.TLS = tls
		sender, err := outputstest.New("mqtt", fmt.Sprintf("{broker: 'ssl://%s', user: saker, password: %s%s}", address, password, settings), env)
		if err != nil {
			t.Fatal(err)
		}
		defer sender.(io.Closer).Close()
		return sender.Send(t.Context(), one)
	}
	if err := send(", mutualtls: true", outputs.TLSClient{MutualFilesPath: own}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := send("", outputs.TLSClient{CACertFile: filepath.Join(own, "ca.crt")}); err == nil {
		t.Error("without a certificate: it was taken")
	}
	if err := send("", outputs.TLSClient{}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the authority: got %v", err)
	}
	if err := send(", checkcert: false", outputs.TLSClient{}); err == nil || strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("unverified, but without our certificate: got %v", err)
	}
}
