package config

import (
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or storage. Its text is a number and a unit: B, KiB, MiB,
// GiB, TiB (powers of 1024; also Ki, Mi, …) or kB, MB, GB, TB (powers of 1000; also K, M,
// …), in any case. A number alone counts bytes.
type Bytes int64

var byteUnits = []struct {
	name string
	size float64
}{
	{"kib", 1 << 10},
	{"mib", 1 << 20},
	{"gib", 1 << 30},
	{"tib", 1 << 40},
	{"ki", 1 << 10},
	{"mi", 1 << 20},
	{"gi", 1 << 30},
	{"ti", 1 << 40},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"tb", 1e12},
	{"k", 1e3},
	{"m", 1e6},
	{"g", 1e9},
	{"t", 1e12},
	{"b", 1},
}

const errBytes = constError("must be a size such as 64MiB or 1GiB")

// UnmarshalText reads a size of 0 or more.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		*b = Bytes(n)
		return nil
	}
	unit := 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	if strings.Trim(s, "0123456789.") != "" {
		return errBytes
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n*unit >= math.MaxInt64 {
		return errBytes
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText returns what String returns.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns the amount in the largest binary unit that divides it: "64MiB".
func (b Bytes) String() string {
	n, unit := int64(b), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(n, 10) + unit
}

type constError string

func (e constError) Error() string { return string(e) }
