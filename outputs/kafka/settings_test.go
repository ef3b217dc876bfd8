package kafka

import (
	"bytes"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func secret(s string) config.Secret { return config.NewSecret(s) }

// partitions are where each of the keys goes, of n partitions.
func partitions(balancer string, n int, keys ...string) []int {
	of := partitioner(balancer).ForTopic("falco")
	var all []int
	for _, key := range keys {
		r := &kgo.Record{}
		if key != "" {
			r.Key = []byte(key)
		}
		all = append(all, of.Partition(r, n))
	}
	return all
}

func TestBalancersGoByTheKey(t *testing.T) {
	// murmur2's places are those of Java's client, as its own tests have them.
	for key, hash := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536} {
		want := int(uint32(hash)&0x7fffffff) % 7
		for _, balancer := range []string{"murmur2", "murmur2_random"} {
			if got := partitions(balancer, 7, key)[0]; got != want {
				t.Errorf("%s of %q: got %d, want %d", balancer, key, got, want)
			}
		}
		want = int(crc32.ChecksumIEEE([]byte(key)) % 7)
		for _, balancer := range []string{"crc32", "crc32_random"} {
			if got := partitions(balancer, 7, key)[0]; got != want {
				t.Errorf("%s of %q: got %d, want %d", balancer, key, got, want)
			}
		}
	}
	if got := partitions("crc32", 7, "", "", ""); got[0] != 0 || got[1] != 0 || got[2] != 0 {
		t.Errorf("crc32 without keys: got %v, want the place of the empty key", got)
	}
	if got := partitions("murmur2", 7, "", ""); got[0] != got[1] {
		t.Errorf("murmur2 without keys: got %v, want one place", got)
	}
	if got := partitions("round_robin", 3, "", "", "", ""); got[0] == got[1] || got[1] == got[2] || got[0] != got[3] {
		t.Errorf("round_robin: got %v", got)
	}
}

func TestATokenIsReadForEachConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	l := &login{Config: Config{SASL: "OAUTHBEARER", TokenFile: path}}
	for _, token := range []string{"s3cret1", "s3cret2"} {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, first, err := l.mechanism().Authenticate(t.Context(), "broker")
		if err != nil || !bytes.Contains(first, []byte("auth=Bearer "+token)) {
			t.Errorf("got %q, %v", first, err)
		}
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.mechanism().Authenticate(t.Context(), "broker"); err == nil {
		t.Error("an empty token was used")
	}
}

func TestAmazonsLoginIsSignedWithItsCredentials(t *testing.T) {
	awstest.Isolate(t)
	made, err := outputstest.New("kafka", "{hostport: 'b-1.falco.kafka.eu-west-1.amazonaws.com:9098', topic: falco, tls: true, sasl: AWS_MSK_IAM, "+
		"region: eu-west-1, accesskeyid: AKIDEXAMPLE, secretaccesskey: "+awstest.Secret+", checkidentity: false}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*sender)
	outputstest.NoSecretIn(t, awstest.Secret, s)
	_, first, err := s.login.mechanism().Authenticate(t.Context(), "b-1.falco.kafka.eu-west-1.amazonaws.com:9098")
	if err != nil || !strings.Contains(string(first), "AKIDEXAMPLE/") || !strings.Contains(string(first), "/eu-west-1/kafka-cluster/aws4_request") {
		t.Errorf("got %s, %v", first, err)
	}
	outputstest.NoSecret(t, awstest.Secret, string(first))
}
