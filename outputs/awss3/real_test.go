package awss3

import (
	"compress/gzip"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

var awsConfig = aws.Config{Region: "eu-west-1"}

// store starts a server of the S3 API, over TLS, with the bucket falco-events, and returns
// what it holds.
func store(t *testing.T) (address string, backend gofakes3.Backend) {
	t.Helper()
	awstest.Isolate(t)
	outputstest.NoLeak(t)
	backend = s3mem.New()
	if err := backend.CreateBucket("falco-events"); err != nil {
		t.Fatal(err)
	}
	api := gofakes3.New(backend).Server()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if how := r.Header.Get("X-Amz-Content-Sha256"); strings.HasPrefix(how, "STREAMING") || r.Header.Get("X-Amz-Checksum-Crc32") == "" {
			t.Errorf("the body is sent as %q, in a coding that not every service understands", how)
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(authority, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", authority)
	return s.URL, backend
}

// objects returns the contents of the bucket's objects by their keys.
func objects(t *testing.T, backend gofakes3.Backend) map[string]string {
	t.Helper()
	list, err := backend.ListBucket("falco-events", nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range list.Contents {
		o, err := backend.GetObject("falco-events", c.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(o.Contents)
		if err != nil {
			t.Fatal(err)
		}
		all[c.Key] = string(body)
	}
	return all
}

func open(t *testing.T, address, extra string) outputs.Sender {
	t.Helper()
	return awstest.Open(t, "awss3", "{"+awstest.Access+", bucket: falco-events, endpoint: '"+address+"'"+extra+"}")
}

func TestRealObjectsHoldTheEventsJSON(t *testing.T) {
	address, backend := store(t)
	batch := awstest.Several(3)
	if err := open(t, address, "").Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	all := objects(t, backend)
	if len(all) != len(batch) {
		t.Errorf("%d events are in %d objects", len(batch), len(all))
	}
	for _, e := range batch {
		found := false
		for key, body := range all {
			found = found || strings.HasPrefix(key, "falco/20") && strings.HasSuffix(key, ".json") && body == string(e.AppendJSON(nil))
		}
		if !found {
			t.Errorf("no object holds the event %s; there are %q", e.UUID, all)
		}
	}
}

func TestRealBatchesAreLinesOfJSON(t *testing.T) {
	address, backend := store(t)
	batch := awstest.Several(300)
	if err := open(t, address, ", format: ndjson, keys: event, prefix: logs").Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	all := objects(t, backend)
	if len(all) != 1 {
		t.Fatalf("got %d objects, want one", len(all))
	}
	for key, body := range all {
		if !strings.HasPrefix(key, "logs/2019-05-17/2019-05-17T15:31:56.746609046Z_") || !strings.HasSuffix(key, ".ndjson.gz") {
			t.Errorf("got the key %s", key)
		}
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) != len(batch) {
			t.Fatalf("got %d lines, want %d", len(lines), len(batch))
		}
		for i, line := range lines {
			if e, err := event.Decode([]byte(line)); err != nil || e.UUID != batch[i].UUID {
				t.Errorf("line %d is %q (%v)", i, line, err)
			}
		}
	}
}

func TestRealEventsWaitForTheBucket(t *testing.T) {
	address, _ := store(t)
	sender := awstest.Open(t, "awss3", "{"+awstest.Access+", bucket: another, endpoint: '"+address+"'}")
	if err := sender.Send(t.Context(), awstest.Batch()); outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("got %v", err)
	}
}
