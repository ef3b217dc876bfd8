package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const password = "s3cret1"

// serve runs a cluster of one broker.
func serve(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	options = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "falco")}, options...)
	c, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// consume returns a function that waits for n records of the topic and returns them as text.
func consume(t *testing.T, c *kfake.Cluster, options ...kgo.Opt) func(t *testing.T, n int) string {
	t.Helper()
	options = append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("falco"), kgo.FetchMaxWait(50 * time.Millisecond)}, options...)
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(t *testing.T, n int) string {
		t.Helper()
		var all strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for taken := 0; taken < n; {
			fetched := client.PollFetches(ctx)
			if err := fetched.Err(); err != nil {
				t.Fatal(err)
			}
			fetched.EachRecord(func(r *kgo.Record) {
				taken++
				fmt.Fprintf(&all, "%s key=%q headers=%d compression=%d\n%s\n", r.Topic, r.Key, len(r.Headers), r.Attrs.CompressionType(), r.Value)
			})
		}
		return all.String()
	}
}

func open(t *testing.T, c *kfake.Cluster, extra string) outputs.Sender {
	t.Helper()
	return openAt(t, strings.Join(c.ListenAddrs(), ","), extra)
}

func openAt(t *testing.T, address, extra string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("kafka", fmt.Sprintf("{hostport: '%s', topic: falco%s}", address, extra), outputstest.Env(t))
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

var one = []event.Event{outputstest.Plain()}

func Test(t *testing.T) {
	const as = "sasl: plain, username: saker, password: s3cret1"
	outputstest.Wire{
		Kind:   "kafka",
		Config: "{hostport: ADDR, topic: falco, requiredacks: all, " + as + "}",
		Secret: password,
		Variants: map[string]string{
			"key":    "{hostport: 'ADDR', topic: falco, requiredacks: one, compression: zstd, messagekey: '{{ .Hostname }}', clientid: saker, balancer: murmur2, " + as + "}",
			"gzip":   "{hostport: 'ADDR', topic: falco, requiredacks: one, compression: gzip, balancer: least_bytes, " + as + "}",
			"unsure": "{hostport: 'ADDR', topic: falco, " + as + "}",
		},
		Wrong: map[string]string{
			"{}":               "hostport",
			"{hostport: ADDR}": "topic",
			"{hostport: 'tcp://s3cret1@ADDR', topic: falco}":                    "hostport: must be addresses",
			"{hostport: 'h:0', topic: falco}":                                   "hostport: must be addresses",
			"{hostport: ADDR, topic: 'a b'}":                                    "topic: must be at most",
			"{hostport: ADDR, topic: falco, sasl: GSSAPI}":                      "must be one of PLAIN",
			"{hostport: ADDR, topic: falco, sasl: PLAIN}":                       "username: is required",
			"{hostport: ADDR, topic: falco, sasl: SCRAM_SHA256, username: a}":   "password: is required",
			"{hostport: ADDR, topic: falco, password: s3cret1}":                 "sasl: is required",
			"{hostport: ADDR, topic: falco, sasl: OAUTHBEARER}":                 "tokenfile: is required",
			"{hostport: ADDR, topic: falco, sasl: OAUTHBEARER, tokenfile: /no}": "read token",
			"{hostport: ADDR, topic: falco, balancer: best}":                    "balancer",
			"{hostport: ADDR, topic: falco, requiredacks: SOME}":                "requiredacks",
			"{hostport: ADDR, topic: falco, compression: RAR}":                  "compression",
			"{hostport: ADDR, topic: falco, cacertfile: /no/ca.crt}":            "ca.crt",
			"{hostport: ADDR, topic: falco, messagekey: '{{'}":                  "messagekey",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			c := serve(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "saker", password))
			take := consume(t, c, kgo.SASL((&login{Config: Config{SASL: "PLAIN", Username: "saker", Password: secret(password)}}).mechanism()))
			return outputstest.Peer{Address: c.ListenAddrs()[0], Take: take}
		},
	}.Run(t)
}

// refuseLogin makes the broker answer as real ones answer a wrong password; of itself the
// fake only hangs up.
func refuseLogin(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		res.ErrorCode = kerr.SaslAuthenticationFailed.Code
		res.ErrorMessage = new("Authentication failed during authentication due to invalid credentials with SASL mechanism")
		return res, nil, true
	})
}

func TestEachMechanismLogsInAndAWrongPasswordIsHeld(t *testing.T) {
	for _, m := range []struct{ ours, theirs string }{{"PLAIN", "PLAIN"}, {"SCRAM_SHA256", "SCRAM-SHA-256"}, {"SCRAM_SHA512", "SCRAM-SHA-512"}} {
		t.Run(m.ours, func(t *testing.T) {
			outputstest.NoLeak(t)
			c := serve(t, kfake.EnableSASL(), kfake.Superuser(m.theirs, "saker", password))
			login := func(password string) string {
				return fmt.Sprintf(", requiredacks: ALL, sasl: %s, username: saker, password: %s", m.ours, password)
			}
			if err := open(t, c, login(password)).Send(t.Context(), one); err != nil {
				t.Error(err)
			}
			refuseLogin(c)
			err := open(t, c, login("wr0ng")).Send(t.Context(), one)
			if !strings.Contains(fmt.Sprint(err), "SASL_AUTHENTICATION_FAILED") {
				t.Errorf("got %v", err)
			}
			if failed, partly := errors.AsType[outputs.Partial](err); partly && !outputs.Held(failed[0]) {
				t.Errorf("a wrong password is not held: %v", err)
			}
			outputstest.NoSecretIn(t, "wr0ng", err)
		})
	}
}

// answerProduce makes the broker answer produce requests with code, by the number of
// records' batches that fail; 0 leaves the request to it.
func answerProduce(c *kfake.Cluster, code func(request int, size int) int16) {
	requests := 0
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		topic := produce.Topics[0]
		requests++
		n := code(requests, len(topic.Partitions[0].Records))
		if n == 0 {
			return nil, nil, false
		}
		res := produce.ResponseKind().(*kmsg.ProduceResponse)
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, n
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
		return res, nil, true
	})
}

func TestErrorsOfBrokersHaveTheirOutcome(t *testing.T) {
	for _, c := range []struct {
		err  *kerr.Error
		want outputstest.Outcome
	}{
		{kerr.MessageTooLarge, outputstest.Rejected},
		{kerr.InvalidRecord, outputstest.Rejected},
		{kerr.TopicAuthorizationFailed, outputstest.Held},
		{kerr.PolicyViolation, outputstest.Held},
		{kerr.UnknownTopicOrPartition, outputstest.Held},
		{kerr.NotEnoughReplicas, outputstest.NotNow},
		{kerr.KafkaStorageError, outputstest.NotNow},
	} {
		t.Run(c.err.Message, func(t *testing.T) {
			outputstest.NoLeak(t)
			cluster := serve(t)
			answerProduce(cluster, func(int, int) int16 { return c.err.Code })
			failed, _ := errors.AsType[outputs.Partial](open(t, cluster, ", requiredacks: ALL").Send(t.Context(), one))
			if got := outputstest.OutcomeOf(failed[0]); got != c.want {
				t.Errorf("%v is %q, want %q", failed[0], got, c.want)
			}
		})
	}
}

func TestATopicThatIsNotThereIsHeldUnlessItMayBeMade(t *testing.T) {
	outputstest.NoLeak(t)
	c := serve(t, kfake.AllowAutoTopicCreation())
	missing := strings.Join(c.ListenAddrs(), ",") + "', topic: other, clientid: '"
	send := func(extra string) error {
		sender, err := outputstest.New("kafka", fmt.Sprintf("{hostport: '%s', requiredacks: ALL%s}", missing, extra), outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		defer sender.(io.Closer).Close()
		return sender.Send(t.Context(), one)
	}
	failed, _ := errors.AsType[outputs.Partial](send(""))
	if !outputs.Held(failed[0]) {
		t.Errorf("got %v", failed)
	}
	if err := send(", topiccreation: true"); err != nil {
		t.Errorf("where it may be made: %v", err)
	}
}

func TestWhatIsTooLargeTogetherIsSentAlone(t *testing.T) {
	outputstest.NoLeak(t)
	c := serve(t)
	answerProduce(c, func(_, size int) int16 {
		if size > 2000 {
			return kerr.MessageTooLarge.Code
		}
		return 0
	})
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", 3000)
	failed, ok := errors.AsType[outputs.Partial](open(t, c, ", requiredacks: ALL").Send(t.Context(), []event.Event{outputstest.Plain(), outputstest.Plain(), large, outputstest.Plain(), outputstest.Plain()}))
	if !ok || len(failed) != 1 || !outputs.Rejected(failed[2]) {
		t.Errorf("got %v, want the third rejected", failed)
	}
	consume(t, c)(t, 4)
}

func TestAnEventLargerThanARequestIsRejectedAtOnce(t *testing.T) {
	outputstest.NoLeak(t)
	c := serve(t)
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", 2*maxRequest)
	failed, _ := errors.AsType[outputs.Partial](open(t, c, ", requiredacks: ALL").Send(t.Context(), []event.Event{large}))
	if len(failed) != 1 || !outputs.Rejected(failed[0]) {
		t.Errorf("got %v, want the first rejected", failed)
	}
}

func TestTheClusterComesBackAfterItWasAway(t *testing.T) {
	for name, options := range map[string][]kfake.Opt{
		"with its records":         {kfake.DataDir(t.TempDir())},
		"with the topic made anew": nil,
	} {
		t.Run(name, func(t *testing.T) {
			outputstest.NoLeak(t)
			first := serve(t, options...)
			address := first.ListenAddrs()[0]
			sender := open(t, first, ", requiredacks: ALL")
			if err := sender.Send(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			first.Close()
			if err := sender.Send(t.Context(), one); outputstest.OutcomeOf(err) != outputstest.NotNow {
				t.Errorf("without a broker: got %v", err)
			}
			_, text, _ := net.SplitHostPort(address)
			port, _ := strconv.Atoi(text)
			second := serve(t, append(options, kfake.Ports(port))...)
			err := sender.Send(t.Context(), one)
			if err != nil && options == nil {
				err = sender.Send(t.Context(), one)
			}
			if err != nil {
				t.Fatal(err)
			}
			consume(t, second)(t, 1)
		})
	}
}

func TestTLSVerifiesTheBrokers(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	cert, key := ca.Issue(t, "broker")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	authorities := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authorities, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for extra, want := range map[string]bool{
		", tls: true, cacertfile: " + authorities: true,
		", tls: true, checkcert: false":           true,
		", tls: true":                             false,
	} {
		err := open(t, c, ", requiredacks: ALL"+extra).Send(t.Context(), one)
		if (err == nil) != want {
			t.Errorf("%s: got %v", extra, err)
		}
	}
}
