package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// Config is what a user sets.
type Config struct {
	awsx.Config   `shared:"aws"`
	HostPort      []string           `key:"hostport" required:"true" doc:"Addresses of brokers, host:port, with commas between them. The others are found by asking these."`
	Topic         string             `key:"topic" required:"true" doc:"Topic that the records go to."`
	MessageKey    falcotext.Template `key:"messagekey" doc:"Key of the records, a Go template such as {{ .Rule }}. Records of one key stay in order, with a balancer that goes by the key. Empty for none."`
	SASL          string             `key:"sasl" oneof:"PLAIN,SCRAM_SHA256,SCRAM_SHA512,OAUTHBEARER,AWS_MSK_IAM" doc:"How to log in: PLAIN and SCRAM with username and password, OAUTHBEARER with tokenfile, AWS_MSK_IAM with the credentials of the section aws. Empty for not at all."`
	Username      string             `key:"username" doc:"User name for SASL."`
	Password      config.Secret      `key:"password" doc:"Password for SASL."`
	TokenFile     string             `key:"tokenfile" doc:"File with the token for OAUTHBEARER. It is read for each connection."`
	TLS           bool               `key:"tls" default:"false" doc:"Use TLS."`
	CheckCert     bool               `key:"checkcert" default:"true" doc:"Verify the brokers' certificates. Without mutualtls, false turns all verification off."`
	MutualTLS     bool               `key:"mutualtls" default:"false" doc:"Show a client certificate to the brokers: certfile and keyfile, or those of mutualtlsclient or mutualtlsfilespath. It implies tls, and the brokers' certificates are then always verified."`
	CertFile      string             `key:"certfile" doc:"Client certificate for mutualtls."`
	KeyFile       string             `key:"keyfile" doc:"Key of the client certificate."`
	CACertFile    string             `key:"cacertfile" doc:"Certificate authorities to trust beside the system's."`
	Balancer      string             `key:"balancer" default:"round_robin" oneof:"round_robin,least_bytes,crc32,crc32_random,murmur2,murmur2_random" doc:"How a record's partition is chosen. crc32 and murmur2 go by the key, as librdkafka and Java do, and put all records without a key into one partition; with _random those go anywhere."`
	ClientID      string             `key:"clientid" doc:"Name of this client in the brokers' logs and quotas."`
	Compression   string             `key:"compression" default:"NONE" oneof:"NONE,GZIP,SNAPPY,LZ4,ZSTD" doc:"Compression of the batches."`
	Async         bool               `key:"async" default:"false" inert:"an event counts as delivered only once it is, and waiting holds nothing up; requiredacks says what Kafka acknowledges" doc:"For Falcosidekick's configurations."`
	RequiredAcks  string             `key:"requiredacks" default:"NONE" oneof:"NONE,ONE,ALL" doc:"Who must have a record before it counts as delivered: nobody (Kafka then acknowledges nothing, and what it does not store is lost unnoticed), the partition's leader, or all replicas in sync."`
	TopicCreation bool               `key:"topiccreation" default:"false" doc:"Let the brokers make the topic, if they are set up so (auto.create.topics.enable)."`
}

const (
	acksNone = "NONE"
	maxTopic = 249 // the longest name that Kafka takes
)

// Validate checks the addresses and what the login needs.
func (c Config) Validate() error {
	var errs []error
	for _, address := range c.HostPort {
		if checkAddress(address) != nil {
			errs = append(errs, config.At("hostport", errors.New("must be addresses host:port with commas between them")))
			break
		}
	}
	if c.Topic == "." || c.Topic == ".." || len(c.Topic) > maxTopic || strings.ContainsFunc(c.Topic, notInTopic) {
		errs = append(errs, config.At("topic", errors.New("must be at most 249 letters, digits, dots, - and _")))
	}
	password := c.SASL == "PLAIN" || strings.HasPrefix(c.SASL, "SCRAM_")
	switch {
	case password && c.Username == "":
		errs = append(errs, config.At("username", errors.New("is required with this sasl")))
	case password && c.Password.IsZero():
		errs = append(errs, config.At("password", errors.New("is required with this sasl")))
	case c.SASL == "OAUTHBEARER" && c.TokenFile == "":
		errs = append(errs, config.At("tokenfile", errors.New("is required with this sasl")))
	case c.SASL == "" && !c.Password.IsZero():
		errs = append(errs, config.At("sasl", errors.New("is required with password: PLAIN, SCRAM_SHA256 or SCRAM_SHA512")))
	}
	return errors.Join(errs...)
}

// checkAddress is lenient about the port, for Kafka's usual one is added by the client.
func checkAddress(address string) error {
	if strings.ContainsAny(address, "/@ ") {
		return errors.New("is a URL")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Contains(address, ":") {
			return err
		}
		return nil
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return errors.New("has no usable port")
	}
	return nil
}

func notInTopic(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

// How long and how often the client tries by itself, before the forwarder, which waits
// longer, does.
const (
	tries        = 3
	longestPause = 250 * time.Millisecond
	maxRequest   = 1 << 20 // what brokers take by default
	buffered     = 64 << 10
)

func pause(failures int) time.Duration {
	return min(50*time.Millisecond<<max(0, min(failures, 10)-1), longestPause)
}

// options are the settings of the client.
func (s *sender) options() []kgo.Opt {
	o := []kgo.Opt{
		kgo.SeedBrokers(s.HostPort...),
		kgo.Dialer(s.dial),
		kgo.RecordPartitioner(partitioner(s.Balancer)),
		kgo.ProducerBatchCompression(compression(s.Compression)),
		kgo.ProducerBatchMaxBytes(maxRequest),
		kgo.ProducerLinger(0), // a batch comes whole
		kgo.MaxBufferedRecords(buffered),
		// Numbering records needs a right of its own in older clusters, and a number in doubt
		// keeps a record past the end of its context.
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(acks(s.RequiredAcks)),
		kgo.RecordRetries(tries), kgo.RequestRetries(tries), kgo.UnknownTopicRetries(tries),
		kgo.RetryBackoffFn(pause), kgo.MetadataMinAge(longestPause / 2),
		kgo.DisableClientMetrics(),
	}
	if s.ClientID != "" {
		o = append(o, kgo.ClientID(s.ClientID))
	}
	if s.TopicCreation {
		o = append(o, kgo.AllowAutoTopicCreation())
	}
	if mechanism := s.login.mechanism(); mechanism != nil {
		o = append(o, kgo.SASL(mechanism))
	}
	return o
}

// dial opens a connection to a broker.
func (s *sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.session.Dial(ctx, network, address)
	if err != nil || !s.TLS && !s.MutualTLS {
		return c, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	secured := tls.Client(c, s.tls.ConfigFor(host))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

func acks(name string) kgo.Acks {
	switch name {
	case "ALL":
		return kgo.AllISRAcks()
	case "ONE":
		return kgo.LeaderAck()
	}
	return kgo.NoAck()
}

func compression(name string) kgo.CompressionCodec {
	switch name {
	case "GZIP":
		return kgo.GzipCompression()
	case "SNAPPY":
		return kgo.SnappyCompression()
	case "LZ4":
		return kgo.Lz4Compression()
	case "ZSTD":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}
