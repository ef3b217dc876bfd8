package probe

import "testing"

func TestCapabilitiesAreReadFromTheStatus(t *testing.T) {
	for _, c := range []struct {
		status string
		want   uint64
		ok     bool
	}{
		{"Name:\tx\nCapPrm:\t1\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n", 0x1ffffffffff, true},
		{"CapEff:\t0", 0, true},
		{"CapEff:\tnone\n", 0, false},
		{"Name:\tx\n", 0, false},
	} {
		got, err := effectiveCapabilities(c.status)
		check(t, c.status, got, c.want)
		check(t, c.status+" is accepted", err == nil, c.ok)
	}
}
