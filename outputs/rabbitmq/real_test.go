package rabbitmq

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	password   = "s3cret1"
	program    = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	maxMessage = 500_000 // set in the broker's configuration
)

// startBroker runs Debian's RabbitMQ, which takes its time, with the users admin, saker and
// weak. What finds Erlang's nodes runs beside it and ends with it.
func startBroker(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(program); err != nil && os.Getenv("SAKER_TEST_REQUIRE") != "1" {
		t.Skipf("the test needs %s, which is not installed", program)
	}
	names := outputstest.StartAddress(t, outputstest.Program{
		Path: "/usr/bin/epmd",
		User: "rabbitmq",
		Args: func(address, _ string) []string {
			_, port, _ := strings.Cut(address, ":")
			return []string{"-address", "127.0.0.1", "-port", port}
		},
		IsUp: outputstest.Accepts,
	})
	_, namesPort, _ := strings.Cut(names, ":")
	return outputstest.StartAddress(t, outputstest.Program{
		Path:    "/usr/bin/env",
		User:    "rabbitmq",
		Prepare: func(t *testing.T, _, dir string) { configure(t, dir) },
		Args: func(address, dir string) []string {
			_, port, _ := strings.Cut(address, ":")
			return []string{
				"HOME=" + dir, "ERL_EPMD_PORT=" + namesPort, "ERL_EPMD_ADDRESS=127.0.0.1",
				"RABBITMQ_NODENAME=saker" + port + "@localhost", "RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir,
				"RABBITMQ_LOGS=-", "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
				"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"),
				"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + port,
				"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
				// The script then becomes the broker, and hears the signal to end.
				"RABBITMQ_ALLOW_INPUT=1", "RABBITMQ_SERVER_START_ARGS=-noinput",
				program,
			}
		},
		IsUp: outputstest.Accepts,
	})
}

func configure(t *testing.T, dir string) {
	t.Helper()
	user := func(name, tags string) string {
		const salt = "salt"
		sum := sha256.Sum256([]byte(salt + password))
		hash := base64.StdEncoding.EncodeToString(append([]byte(salt), sum[:]...))
		return fmt.Sprintf(`{"name":%q,"password_hash":%q,"hashing_algorithm":"rabbit_password_hashing_sha256","tags":%q,"limits":{}}`, name, hash, tags)
	}
	may := func(name, all, write string) string {
		return fmt.Sprintf(`{"user":%q,"vhost":"/","configure":%q,"write":%q,"read":%q}`, name, all, write, all)
	}
	definitions := fmt.Sprintf(`{"vhosts":[{"name":"/"}],"users":[%s,%s,%s],"permissions":[%s,%s,%s]}`,
		user("admin", "administrator"), user("saker", ""), user("weak", ""),
		may("admin", ".*", ".*"), may("saker", "", `^(amq\.default|falco\..*)$`), may("weak", "", "^nothing$"))
	for name, text := range map[string]string{
		"plugins":          "[].\n",
		"definitions.json": definitions,
		"rabbitmq.conf":    fmt.Sprintf("load_definitions = %s/definitions.json\nmax_message_size = %d\n", dir, maxMessage),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// broker is the running RabbitMQ with a connection of its administrator.
type broker struct {
	address string
	channel *amqp091.Channel
}

// declare makes a queue anew.
func (b *broker) declare(t *testing.T, queue string, args amqp091.Table) {
	t.Helper()
	if _, err := b.channel.QueueDelete(queue, false, false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.channel.QueueDeclare(queue, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// take returns the next n messages of the queue falco.
func (b *broker) take(t *testing.T, n int) string {
	t.Helper()
	var all strings.Builder
	for range n {
		m, ok, err := b.channel.Get("falco", true)
		if err != nil || !ok {
			t.Fatalf("there is no message although it was confirmed: %v", err)
		}
		fmt.Fprintf(&all, "exchange=%q key=%s content-type=%s delivery-mode=%d message-id=%s headers=%d\n%s\n",
			m.Exchange, m.RoutingKey, m.ContentType, m.DeliveryMode, m.MessageId, len(m.Headers), m.Body)
	}
	return all.String()
}

func (b *broker) open(t *testing.T, address, user, extra string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("rabbitmq", fmt.Sprintf("{url: 'amqp://%s@%s/', queue: falco%s}", user, address, extra), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return sender
}

const saker = "saker:" + password

var one = []event.Event{outputstest.Plain()}

func TestRealRabbitMQ(t *testing.T) {
	address := startBroker(t)
	conn, err := amqp091.Dial("amqp://admin:" + password + "@" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.ExchangeDeclare("falco.events", "topic", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	b := &broker{address, channel}
	t.Run("contract", b.contract)
	t.Run("a message that no queue takes is held, and a missing exchange too", b.unroutable)
	t.Run("a full queue is tried again later, and the rest is delivered", b.full)
	t.Run("a too large event is rejected", b.tooLarge)
	t.Run("who may not write or come in is held", b.refused)
	t.Run("the connection comes back", b.comesBack)
}

func (b *broker) contract(t *testing.T) {
	outputstest.Wire{
		Kind:   "rabbitmq",
		Config: "{url: 'amqp://saker:s3cret1@ADDR/', queue: falco}",
		Secret: password,
		Variants: map[string]string{
			"exchange": "{url: 'amqp://saker:s3cret1@ADDR/%2f', queue: falco, exchange: falco.events, routingkey: a.b, persistent: true}",
		},
		Wrong: map[string]string{
			"{}":                            "url",
			"{url: 'amqp://s3cret1@ADDR/'}": "queue",
			"{url: 'http://s3cret1@ADDR/', queue: q}":                                       "must be a URL such as amqp://",
			"{url: 'amqp://u:s3cret1@ h/', queue: q}":                                       "must be a URL such as amqp://",
			"{url: 'amqp://ADDR/', queue: q, routingkey: " + strings.Repeat("x", 256) + "}": "routingkey: must be at most",
			"{url: 'amqps://ADDR/', queue: q, mutualtls: true}":                             "client certificate",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			b.declare(t, "falco", nil)
			if err := b.channel.QueueBind("falco", "a.*", "falco.events", false, nil); err != nil {
				t.Fatal(err)
			}
			return outputstest.Peer{Address: b.address, Take: b.take}
		},
	}.Run(t)
}

func (b *broker) unroutable(t *testing.T) {
	outputstest.NoLeak(t)
	for extra, want := range map[string]string{
		", routingkey: nowhere":                                 "NO_ROUTE",
		", exchange: falco.events, routingkey: nobody.wants.it": "NO_ROUTE",
		", exchange: falco.missing":                             "no exchange",
	} {
		err := b.open(t, b.address, saker, extra).Send(t.Context(), []event.Event{one[0], one[0]})
		if failed, partly := errors.AsType[outputs.Partial](err); partly {
			err = failed[1]
		}
		if !outputs.Held(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s held", extra, err, want)
		}
	}
}

func (b *broker) full(t *testing.T) {
	outputstest.NoLeak(t)
	b.declare(t, "falco", amqp091.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	sender := b.open(t, b.address, saker, "")
	failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), []event.Event{outputstest.Plain(), outputstest.Plain(), outputstest.Plain()}))
	if !ok || len(failed) != 1 || outputstest.OutcomeOf(failed[2]) != outputstest.NotNow {
		t.Errorf("got %v, want the third for later", failed)
	}
	b.take(t, 2)
	if err := sender.Send(t.Context(), one); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

func (b *broker) tooLarge(t *testing.T) {
	outputstest.NoLeak(t)
	b.declare(t, "falco", nil)
	sender := b.open(t, b.address, saker, "")
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", maxMessage)
	if err := sender.Send(t.Context(), []event.Event{large}); !outputs.Rejected(err) || !strings.Contains(err.Error(), "size") {
		t.Errorf("alone: got %v", err)
	}
	if err := sender.Send(t.Context(), []event.Event{large, one[0]}); !outputs.Rejected(err) {
		t.Errorf("with nothing confirmed: got %v", err)
	}
	if err := sender.Send(t.Context(), one); err != nil {
		t.Errorf("after it: %v", err)
	}
	b.take(t, 1)
}

func (b *broker) refused(t *testing.T) {
	outputstest.NoLeak(t)
	for user, want := range map[string]string{
		"saker:wr0ng":      "username or password not allowed",
		"weak:" + password: "ACCESS_REFUSED",
	} {
		err := b.open(t, b.address, user, ", exchange: falco.events").Send(t.Context(), one)
		if !outputs.Held(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q held", err, want)
		}
		outputstest.NoSecretIn(t, "wr0ng "+password, err)
	}
}

// comesBack cuts the connection on the way, which is what a restart looks like from here
// and takes less time.
func (b *broker) comesBack(t *testing.T) {
	outputstest.NoLeak(t)
	b.declare(t, "falco", nil)
	address, cut := b.between(t, "127.0.0.1:0")
	sender := b.open(t, address, saker, "")
	if err := sender.Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	cut()
	if err := sender.Send(t.Context(), one); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a broker: got %v", err)
	}
	b.between(t, address)
	if err := sender.Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	b.take(t, 2)
}

// between hands connections to the broker on, until cut ends them and takes no more.
func (b *broker) between(t *testing.T, at string) (address string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
	}
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.DialTimeout("tcp", b.address, 10*time.Second)
			if err != nil {
				near.Close()
				continue
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			wg.Go(func() { pass(near, far) })
			wg.Go(func() { pass(far, near) })
		}
	})
	cut = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(cut)
	return l.Addr().String(), cut
}
