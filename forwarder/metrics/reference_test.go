package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestNamesAndLabelsStay holds what dashboards and alerting rules of users rely on. A line
// that goes, or changes, breaks theirs.
func TestNamesAndLabelsStay(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, m := range all {
		fmt.Fprintf(&got, "%s %s {%s}\n", m.Type, m.Name, strings.Join(m.Labels, ","))
	}
	const golden = "testdata/metrics.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the metrics differ from %s (-want +got; -update writes it):\n%s", golden, diff)
	}
}

func TestNamesFollowPrometheusConventions(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Type == "counter") {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		if m.Help == "" || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s has the help %q", m.Name, m.Help)
		}
	}
}

func TestTheReferenceHasEveryMetricOnce(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	if err := WriteReference(&page); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if n := strings.Count(page.String(), "| `"+m.Name+"` |"); n != 1 {
			t.Errorf("%s is there %d times", m.Name, n)
		}
	}
}
