package awssecuritylake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const lake = "bucket: aws-security-data-lake-eu-west-1-abc, region: eu-west-1, prefix: ext/falco, accountid: '123456789012'"

// access is awstest.Access without the region, which this output has of its own.
var access = strings.Replace(awstest.Access, ", region: eu-west-1", "", 1)

// rows returns the rows of a file, as the file's own columns tell them.
func rows(file []byte) ([]map[string]any, error) {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	r := parquet.NewGenericReader[map[string]any](f, f.Schema())
	all := make([]map[string]any, f.NumRows())
	for i := range all {
		all[i] = map[string]any{}
	}
	if _, err := r.Read(all); err != nil && len(all) == 0 {
		return nil, err
	}
	return all, r.Close()
}

// sums matches the headers that change with the version of the Parquet library.
var sums = regexp.MustCompile(`(?m)^(X-Amz-Content-Sha256|X-Amz-Checksum-Crc32): .*$`)

// clean replaces a body that is a Parquet file by its rows.
func clean(text string) string {
	if !strings.HasPrefix(text, "PAR1") {
		return sums.ReplaceAllString(awstest.Clean(text), "$1: (varies)")
	}
	all, err := rows([]byte(text))
	if err != nil {
		return err.Error()
	}
	var lines strings.Builder
	for _, row := range all {
		line, err := json.Marshal(row)
		if err != nil {
			return err.Error()
		}
		lines.Write(append(line, '\n'))
	}
	return lines.String()
}

func Test(t *testing.T) {
	awstest.Isolate(t)
	outputstest.HTTP{
		Kind:   "awssecuritylake",
		Config: "{endpointurl: URL, " + access + ", " + lake + "}",
		Secret: awstest.Secret,
		Wrong: map[string]string{
			"{}":                                 "bucket: is required",
			"{bucket: falco, prefix: ext/falco}": "accountid: is required",
			"{" + lake + ", interval: -1}":       "interval",
			"{" + lake + ", secretaccesskey: A}": "accesskeyid: is required with secretaccesskey",
			"{" + strings.Replace(lake, "eu-west-1, prefix", "Ireland/1, prefix", 1) + "}": "region: must be a region",
			"{" + strings.Replace(lake, "123456789012", "a/b", 1) + "}":                    "accountid: must be the id of an account",
		},
		Answer:      awstest.AnswerBucket,
		Clean:       clean,
		NoRedirects: true,
	}.Run(t)
}

func TestTheColumnsAreThoseOfFalcosidekick(t *testing.T) {
	file, err := payload(awstest.Batch())
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	outputstest.Golden(t, "testdata/schema.golden", f.Schema().String()+"\n")
}

// serve starts a fake that answers as S3 does, and a sender for it.
func serve(t *testing.T) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(accept)
	sender := open(t, "")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

func accept(w http.ResponseWriter, c awstest.Call) {
	awstest.AnswerBucket(w, c.Request, []byte(c.Body))
}

func open(t *testing.T, extra string) outputs.Sender {
	t.Helper()
	return awstest.Open(t, "awssecuritylake", "{"+access+", "+lake+extra+"}")
}

func TestAFileIsOfOneDay(t *testing.T) {
	f, send := serve(t)
	batch := awstest.Several(5)
	for i, day := range []int{1, 0, 1, 2, 0} {
		batch[i].Time = batch[i].Time.AddDate(0, 0, day)
	}
	west := time.FixedZone("", -9*3600) // still the day before, there
	batch[4].Time = batch[4].Time.Truncate(24 * time.Hour).In(west)
	var keys [2][]string
	for i := range keys {
		if err := send(batch...); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range f.Take() {
			keys[i] = append(keys[i], awstest.Key(c.Request.URL))
			all, err := rows([]byte(c.Body))
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, row := range all {
				e, err := event.Decode([]byte(fmt.Sprint(row["raw_data"])))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, e.UUID[len(e.UUID)-1:])
			}
			got = append(got, strings.Join(ids, " "))
		}
		if want := []string{"1 4", "0 2", "3"}; !slices.Equal(got, want) {
			t.Errorf("got files of %q, want %q", got, want)
		}
	}
	for i, day := range []string{"20190517", "20190518", "20190519"} {
		want := "ext/falco/region=eu-west-1/accountId=123456789012/eventDay=" + day + "/"
		if key := keys[0][i]; !strings.HasPrefix(key, want) || !strings.HasSuffix(key, ".parquet") || key != keys[1][i] {
			t.Errorf("got the keys %s and %s, want both to begin with %s", key, keys[1][i], want)
		}
	}
}

func TestAFileThatFailsLeavesTheOthers(t *testing.T) {
	f, send := serve(t)
	n := 0
	f.Answer(func(w http.ResponseWriter, c awstest.Call) {
		if n++; n == 2 {
			awstest.FaultS3(w, 503, "SlowDown", "Please reduce your request rate.")
			return
		}
		accept(w, c)
	})
	batch := awstest.Several(3)
	batch[0].Time = batch[0].Time.AddDate(0, 0, 1)
	err := send(batch...)
	want := []outputstest.Outcome{outputstest.NotNow, outputstest.Delivered, outputstest.Delivered}
	if got := awstest.Each(err, 3); !slices.Equal(got, want) {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	for _, c := range []struct {
		status int
		code   string
		want   outputstest.Outcome
	}{
		{404, "NoSuchBucket", outputstest.Held},
		{403, "AccessDenied", outputstest.Held},
		{400, "EntityTooLarge", outputstest.Rejected},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.FaultS3(w, c.status, c.code, "of course") })
		if err := send(batch[0]); outputstest.OutcomeOf(err) != c.want {
			t.Errorf("%s is %q (%v), want %q", c.code, outputstest.OutcomeOf(err), err, c.want)
		}
	}
}

func TestIntervalAndBatchSizeAreHeldWithinTheirLimits(t *testing.T) {
	awstest.Isolate(t)
	for extra, want := range map[string]string{
		"":                                 "1000 5m0s",
		", interval: 1, batchsize: 1":      "1 5m0s",
		", interval: 30, batchsize: 0":     "10000 30m0s",
		", interval: 90, batchsize: 99999": "10000 1h0m0s",
	} {
		s := open(t, extra)
		if got := fmt.Sprint(s.(outputs.Limited).MaxBatch(), " ", s.(outputs.Collecting).BatchAge()); got != want {
			t.Errorf("%q: got %s, want %s", extra, got, want)
		}
	}
}

func BenchmarkPayload(b *testing.B) {
	batch := awstest.Several(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := payload(batch); err != nil {
			b.Fatal(err)
		}
	}
}
