package otlpx

import (
	"math"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

func TestValuesAreTextAsGoPrintsThem(t *testing.T) {
	for _, c := range []struct {
		v    event.Value
		want string
	}{
		{event.Value{}, "<nil>"},
		{event.StringValue("a\xffb"), "a\xffb"},
		{event.NumberValue("18446744073709551615"), "18446744073709551615"},
		{event.BoolValue(true), "true"},
		{event.CompositeValue(`["a",1,null,{"b":"c"}]`), "[a 1 <nil> map[b:c]]"},
		{event.CompositeValue(`{"z":{"b":[true]},"a":1.50}`), "map[a:1.50 z:map[b:[true]]]"},
	} {
		if got := Text(c.v); got != c.want {
			t.Errorf("%v is %q, want %q", c.v, got, c.want)
		}
	}
	if got := String("n", "a\xffb").GetValue().GetStringValue(); got != "a\uFFFDb" {
		t.Errorf("got %q", got)
	}
}

func TestTimesBeyondTheRangeAreItsEnds(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want uint64
	}{
		{time.Unix(0, 1), 1},
		{time.Unix(-1, 0), 0},
		{time.Time{}, 0},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
	} {
		if got := UnixNano(c.at); got != c.want {
			t.Errorf("%v is %d, want %d", c.at, got, c.want)
		}
	}
}

func TestTheResourcesNameAndVersionCannotBeReplaced(t *testing.T) {
	r := resource("v1", map[string]string{"service.name": "x", "service.version": "y", "a": "b"})
	var names []string
	for _, a := range r.GetAttributes() {
		names = append(names, a.GetKey()+"="+a.GetValue().GetStringValue())
	}
	if len(names) != 3 || names[0] != "a=b" || names[1] != "service.name=falco" || names[2] != "service.version=v1" {
		t.Errorf("got %q", names)
	}
}
