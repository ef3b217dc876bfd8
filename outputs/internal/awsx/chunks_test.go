package awsx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestARequestHoldsWhatItsLimitsAllow(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		sizes  []int
		want   []int
	}{
		{Limits{3, 100}, []int{1, 1, 1, 1, 1, 1, 1}, []int{3, 3, 1}},
		{Limits{3, 100}, []int{50, 50, 1, 99, 1}, []int{2, 2, 1}},
		{Limits{3, 100}, []int{500, 1, 500}, []int{1, 1, 1}},
		{Limits{1, 100}, []int{1, 1}, []int{1, 1}},
	} {
		var got []int
		next := func(from int) int { return c.limits.Next(from, len(c.sizes), func(i int) int { return c.sizes[i] }) }
		err := InChunks(len(c.sizes), next, func(from, to int) error {
			got = append(got, to-from)
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v for %v: got %v (%v), want %v", c.limits, c.sizes, got, err, c.want)
		}
	}
}

func TestTheOutcomeOfABatchIsThatOfItsRequests(t *testing.T) {
	away, bad, closed := errors.New("away"), outputs.Reject(errors.New("bad")), outputs.Hold(errors.New("closed"))
	for name, c := range map[string]struct {
		answers []error // of requests for two events each, of six
		want    string  // delivered, not now, held or rejected: of the events, or of the whole batch
		sent    int
	}{
		"all is well":                           {[]error{nil, nil, nil}, "delivered", 3},
		"the first request fails":               {[]error{away}, "not now", 1},
		"the first request is held":             {[]error{closed}, "held", 1},
		"a later request fails":                 {[]error{nil, away}, "d d n n n n", 2},
		"a later request is held":               {[]error{nil, closed}, "d d h h h h", 2},
		"one of a request's events is rejected": {[]error{nil, outputs.Partial{1: bad}, nil}, "d d d r d d", 3},
		"a request is rejected, maybe for one":  {[]error{bad, nil, nil}, "n n d d d d", 3},
		"partial failures before a whole one":   {[]error{outputs.Partial{0: closed}, away}, "h d n n n n", 2},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			err := InChunks(6, func(from int) int { return from + 2 }, func(_, _ int) error {
				sent++
				return c.answers[sent-1]
			})
			got := string(outputstest.OutcomeOf(err))
			if parts, partly := errors.AsType[outputs.Partial](err); partly {
				var each []string
				for i := range 6 {
					each = append(each, string(outputstest.OutcomeOf(parts[i])[0]))
				}
				got = strings.Join(each, " ")
			}
			if got != c.want || sent != c.sent {
				t.Errorf("got %q (%v) after %d requests, want %q after %d", got, err, sent, c.want, c.sent)
			}
		})
	}
}

func TestAnEventThatIsRejectedAloneIsRejected(t *testing.T) {
	bad := outputs.Reject(errors.New("bad"))
	one := func(from int) int { return from + 1 }
	err := InChunks(2, one, func(from, _ int) error {
		if from == 1 {
			return bad
		}
		return nil
	})
	parts, partly := errors.AsType[outputs.Partial](err)
	if !partly || len(parts) != 1 || !outputs.Rejected(parts[1]) {
		t.Errorf("got %v", err)
	}
	if err := InChunks(1, one, func(_, _ int) error { return bad }); !outputs.Rejected(err) {
		t.Errorf("got %v", err)
	}
}

func TestPartialFailuresAreMovedToTheirPlaces(t *testing.T) {
	err := InPlace(outputs.Partial{0: errors.New("a"), 2: errors.New("b")}, []int{2, 0, 1})
	if parts, _ := errors.AsType[outputs.Partial](err); fmt.Sprint(parts[2], parts[1], len(parts)) != "a b 2" {
		t.Errorf("got %v", err)
	}
	whole := errors.New("away")
	if got := InPlace(whole, nil); !errors.Is(got, whole) {
		t.Errorf("got %v", got)
	}
}
