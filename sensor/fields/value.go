package fields

import "net/netip"

// Type is the type of a field's values. It decides which operators a condition may use
// and how a literal is read.
type Type uint8

// The types, after Falco's.
const (
	// String is text; Path is text that pmatch and basename treat as a path.
	String Type = iota
	Path
	// Int and Uint are 64-bit numbers; Time is an absolute time and Duration a span, both
	// in nanoseconds.
	Int
	Uint
	Time
	Duration
	// Port is a number that may be written as a service name in a condition.
	Port
	Bool
	// Bytes is a buffer, compared raw.
	Bytes
	// IP is an address, Net an address that conditions compare with networks.
	IP
	Net
)

// String returns the type's name as `saker rules fields` prints it.
func (t Type) String() string {
	return [...]string{"string", "path", "int", "uint", "time", "duration", "port", "bool", "bytes", "ip", "net"}[t]
}

// Value is what an extractor found. The zero Value is null: the field cannot be had from
// this event, and every comparison with it is false.
//
// Strings may point into the record that is being evaluated; whoever keeps one clones it.
type Value struct {
	// Valid is false for null.
	Valid bool
	// Str holds String, Path and Bytes.
	Str string
	// Num holds Int (as its bits), Uint, Time, Duration, Port and Bool (0 or 1).
	Num uint64
	// Addr holds IP and Net.
	Addr netip.Addr
	// List holds the elements when the field is a list, each of the field's type.
	List []Value
}

// Text returns a valid String, Path or Bytes value.
func Text(s string) Value { return Value{Valid: true, Str: s} }

// Signed returns a valid Int value.
func Signed(n int64) Value { return Value{Valid: true, Num: uint64(n)} }

// Unsigned returns a valid Uint, Time, Duration or Port value.
func Unsigned(n uint64) Value { return Value{Valid: true, Num: n} }

// Boolean returns a valid Bool value.
func Boolean(b bool) Value {
	if b {
		return Value{Valid: true, Num: 1}
	}
	return Value{Valid: true}
}

// Address returns a valid IP or Net value, null for the zero address.
func Address(a netip.Addr) Value { return Value{Valid: a.IsValid(), Addr: a} }

// Elements returns a valid list value.
func Elements(vs []Value) Value { return Value{Valid: true, List: vs} }
