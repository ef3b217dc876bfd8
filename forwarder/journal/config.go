package journal

import (
	"errors"
	"regexp"
	"time"

	"github.com/saker-security/saker/config"
)

// Config is the section journal of the forwarder's configuration.
type Config struct {
	MaxBytes        config.Bytes      `key:"maxbytes" default:"1GiB" doc:"Most disk space the events may take. When it is used up, the oldest events make room; what an output had not yet got of them is counted as lost."`
	MaxAge          time.Duration     `key:"maxage" default:"168h" doc:"How long an event is kept."`
	Sync            string            `key:"sync" default:"interval" oneof:"interval,always" doc:"When events reach the disk itself: interval survives the death of the process and may lose the last 10 seconds in a power cut, always loses nothing and is much slower. On a NATS cluster its servers decide this."`
	DuplicateWindow time.Duration     `key:"duplicatewindow" default:"2m" doc:"How long the UUID of an event is remembered, so that an event that is sent again is stored only once. A remembered UUID takes about 40 bytes of memory, and at most two million are remembered; on a NATS cluster it takes about 200 bytes of the servers' memory."`
	MinFree         config.Bytes      `key:"minfree" default:"64MiB" doc:"Space that the journal leaves free on its disk. Below it senders are asked to come back later, so that what is stored can still be delivered. It has no meaning for a NATS cluster."`
	DeadLetters     DeadLettersConfig `key:"deadletters"`

	URL         config.Secret `key:"url" doc:"NATS cluster that holds the journal in place of this machine's disk, so that several forwarders share it: one or more addresses such as nats://nats-0:4222 or tls://nats-0:4222, with commas between them. The servers need JetStream, version 2.11 or newer, and a max_payload of 4MB is advised."`
	Replicas    int           `key:"replicas" default:"3" doc:"Number of NATS servers that keep a copy of each event: 1, 3 or 5. A journal that has more already keeps them."`
	Stream      string        `key:"stream" default:"SAKER" doc:"What the names and subjects of the journal's streams begin with, so that several installations can use one NATS cluster: 1 to 32 letters, digits and dashes."`
	Username    string        `key:"username" doc:"User name for the NATS cluster. It may stand in the url, too."`
	Password    config.Secret `key:"password" doc:"Password of that user."`
	Token       config.Secret `key:"token" doc:"Token for the NATS cluster, in place of a user name."`
	Credentials string        `key:"credentials" doc:"Credentials file (.creds) for the NATS cluster, in place of a user name."`
	NKey        string        `key:"nkey" doc:"File with the seed of an NKey for the NATS cluster, in place of a user name."`
	TLS         TLSConfig     `key:"tls"`
}

// TLSConfig is the section journal.tls: how the forwarder and the NATS cluster prove to
// each other who they are. The files are read anew at each connection.
type TLSConfig struct {
	CACertFile string `key:"cacertfile" doc:"File with the certificates of the authorities that signed the NATS servers' certificates, in place of the system's."`
	CertFile   string `key:"certfile" doc:"File with the certificate that the forwarder shows to the NATS servers."`
	KeyFile    string `key:"keyfile" doc:"File with the key of that certificate."`
}

// DeadLettersConfig is the section journal.deadletters.
type DeadLettersConfig struct {
	MaxBytes config.Bytes  `key:"maxbytes" default:"128MiB" doc:"Most disk space the dead letters of all outputs may take together. When it is used up, the oldest make room."`
	MaxAge   time.Duration `key:"maxage" default:"720h" doc:"How long a dead letter is kept."`
}

// The values of Config.Sync.
const (
	SyncInterval = "interval"
	SyncAlways   = "always"
)

// DefaultConfig returns the configuration that holds when nothing is set.
func DefaultConfig() Config {
	return Config{
		MaxBytes:        1 << 30,
		MaxAge:          7 * 24 * time.Hour,
		Sync:            SyncInterval,
		DuplicateWindow: 2 * time.Minute,
		MinFree:         64 << 20,
		DeadLetters:     DeadLettersConfig{MaxBytes: 128 << 20, MaxAge: 30 * 24 * time.Hour},
		Replicas:        3,
		Stream:          "SAKER",
	}
}

var validStream = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// minBytes is the least that a stream may take: less than a few of the largest events is
// a journal that forgets what it was just given.
const minBytes = 16 << 20

// Validate reports all settings that cannot work.
func (c Config) Validate() error {
	var all []error
	must := func(ok bool, key, text string) {
		if !ok {
			all = append(all, config.At(key, errors.New("must "+text)))
		}
	}
	must(c.MaxBytes >= minBytes, "maxbytes", "be at least 16MiB")
	must(c.MaxAge >= time.Minute, "maxage", "be at least 1m")
	must(c.Sync == SyncInterval || c.Sync == SyncAlways, "sync", "be one of interval, always")
	must(c.DuplicateWindow >= 100*time.Millisecond && c.DuplicateWindow <= c.MaxAge,
		"duplicatewindow", "be at least 100ms and at most maxage")
	must(c.MinFree >= 0, "minfree", "not be negative")
	must(c.DeadLetters.MaxBytes >= minBytes, "deadletters.maxbytes", "be at least 16MiB")
	must(c.DeadLetters.MaxAge >= time.Minute, "deadletters.maxage", "be at least 1m")
	must(c.Replicas == 1 || c.Replicas == 3 || c.Replicas == 5, "replicas", "be 1, 3 or 5")
	must(validStream.MatchString(c.Stream), "stream", "have 1 to 32 letters, digits and dashes")
	return errors.Join(append(all, c.validateRemote())...)
}
