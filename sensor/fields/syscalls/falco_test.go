package syscalls_test

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
)

// falcoFields has the names of the fields of system calls that Falco (libs 0.25) and its
// container plugin have, and what a literal that they are compared with must be. The times of
// an event are text there and numbers here, as alerts have them in output_fields.
//
//go:embed testdata/falco_fields.txt
var falcoFields string

func TestEveryFieldOfFalcoIsDeclaredWithItsType(t *testing.T) {
	r := newWorld(t).Registry()
	classes := map[fields.Type]string{
		fields.String: "text", fields.Path: "text", fields.Bytes: "bytes", fields.Bool: "bool",
		fields.IP: "ip", fields.Net: "net", fields.Port: "port",
		fields.Int: "number", fields.Uint: "number", fields.Time: "number", fields.Duration: "number",
	}
	n := 0
	for line := range strings.Lines(falcoFields) {
		name, class, _ := strings.Cut(strings.TrimSpace(line), " ")
		n++
		f, ok := r.Lookup(name)
		if !ok {
			t.Errorf("there is no field %s", name)
			continue
		}
		if got := classes[f.Type]; got != class {
			t.Errorf("%s is a %s, want %s", name, got, class)
		}
	}
	if n < 200 {
		t.Errorf("the list has %d fields only", n)
	}
}
