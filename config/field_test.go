package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
)

func TestFieldsDescribesEveryKeyInOrder(t *testing.T) {
	fields, err := config.Fields(new(struct {
		transport
		URL   config.Secret `key:"url" required:"true" doc:"The URL." env:"OLD_URL, OLDER_URL"`
		Batch struct {
			Size config.Bytes  `key:"size" default:"5MiB" doc:"Bytes."`
			Age  time.Duration `key:"age" unit:"ms" doc:"Age."`
		} `key:"batch"`
		Region  string                   `key:"region" shared:"aws" oneof:"a,b" default:"a" doc:"Region."`
		Headers map[string]config.Secret `key:"headers" doc:"Headers."`
		Users   []token                  `key:"users" doc:"Users."`
		Ignored chan int
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Field{
		{Key: "checkcert", Doc: "Verify the server's certificate.", Type: "bool", Default: "true"},
		{Key: "mutualtls", Doc: "Present a client certificate.", Type: "bool"},
		{Key: "url", Doc: "The URL.", Type: "secret", Required: true, Secret: true, Env: []string{"OLD_URL", "OLDER_URL"}},
		{Key: "batch.size", Doc: "Bytes.", Type: "size", Default: "5MiB"},
		{Key: "batch.age", Doc: "Age.", Type: "duration", Unit: "ms"},
		{Key: "region", Doc: "Region.", Type: "string", Default: "a", OneOf: []string{"a", "b"}, Shared: "aws"},
		{Key: "headers", Doc: "Headers.", Type: "map", Secret: true},
		{Key: "users", Doc: "Users.", Type: "sections", Fields: []config.Field{
			{Key: "name", Doc: "Name.", Type: "string", Required: true},
			{Key: "value", Doc: "Value.", Type: "secret", Required: true, Secret: true},
			{Key: "role", Doc: "Role.", Type: "string", Default: "viewer", OneOf: []string{"viewer", "admin"}},
		}},
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
}

type oneWay struct{}

func (*oneWay) UnmarshalText([]byte) error { return nil }

type nested struct {
	Nested []nested `key:"nested" doc:"Itself."`
}

func TestFieldsRefusesADeclarationThatCannotBeRight(t *testing.T) {
	tests := map[string]struct {
		ptr  any
		want string
	}{
		"no pointer": {token{}, "describe config_test.token: must be a pointer to a struct"},
		"nil":        {nil, "describe <nil>: must be a pointer to a struct"},
		"no doc": {new(struct {
			A string `key:"a"`
		}), `field A: key "a" has no doc`},
		"no key": {new(struct {
			A string `doc:"A."`
		}), "field A: has a doc but no key"},
		"an unexported key": {new(struct {
			a string `key:"a" doc:"A."`
		}), "field a: has a key but is not exported"},
		"a bad key": {new(struct {
			A string `key:"A-b" doc:"A."`
		}), `field A: key "A-b" must be lower-case letters, digits and _`},
		"an unsupported type": {new(struct {
			A chan int `key:"a" doc:"A."`
		}), `field A: key "a" has the unsupported type chan int`},
		"an unsupported element": {new(struct {
			A [][]string `key:"a" doc:"A."`
		}), `field A: key "a" has the unsupported type [][]string`},
		"an unsupported key of a map": {new(struct {
			A map[int]string `key:"a" doc:"A."`
		}), `field A: key "a" has the unsupported type map[int]string`},
		"a type that cannot be shown": {new(struct {
			A oneWay `key:"a" doc:"A."`
		}), `field A: key "a": config_test.oneWay has UnmarshalText but no MarshalText to show the value again`},
		"a default of the wrong type": {new(struct {
			A int `key:"a" default:"x" doc:"A."`
		}), `field A: key "a": default "x" must be a whole number, not "x"`},
		"a default that is not allowed": {new(struct {
			A string `key:"a" default:"x" oneof:"y" doc:"A."`
		}), `field A: key "a": default "x" must be y, not "x"`},
		"oneof on a number": {new(struct {
			A int `key:"a" oneof:"1,2" doc:"A."`
		}), `field A: key "a": oneof stands only on strings and lists`},
		"a unit on a number": {new(struct {
			A int `key:"a" unit:"s" doc:"A."`
		}), `field A: key "a": unit must be s, ms or ns, and on a duration`},
		"percentenv on a list": {new(struct {
			A []string `key:"a" percentenv:"true" doc:"A."`
		}), `field A: key "a": percentenv stands only on maps`},
		"a bad variable": {new(struct {
			A string `key:"a" env:"A B" doc:"A."`
		}), `field A: key "a": "A B" is no name of an environment variable`},
		"a key twice": {new(struct {
			transport
			A string `key:"checkcert" doc:"A."`
		}), `key "checkcert" is declared twice`},
		"a key that is a secret's twin": {new(struct {
			A config.Secret `key:"a" doc:"A."`
			B string        `key:"a_file" doc:"A."`
		}), `key "a_file" is declared twice`},
		"a key that is a section": {new(struct {
			A string `key:"a" doc:"A."`
			B string `key:"a.b" doc:"A."`
		}), `key "a" is a section too`},
		"an embedded pointer": {new(struct{ *transport }), "field transport: an embedded pointer is not filled; embed the struct itself"},
		"an embedded struct with a key": {new(struct {
			transport `key:"a"`
		}), "field transport: an embedded struct takes no key; give the field a name"},
		"a type that contains itself": {new(nested), "field Nested: structs are nested too deep"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Fields(test.ptr)
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got  %v\nwant … %s", err, test.want)
			}
		})
	}
}

func TestSectionsMustNotDeclareAKeyTwice(t *testing.T) {
	type other struct {
		Region string `key:"region" shared:"aws" default:"elsewhere" doc:"Region."`
	}
	tests := map[string]struct {
		sections []config.Section
		want     string
	}{
		"in one section": {
			[]config.Section{{Path: "a", Into: []any{new(smtp), new(smtp)}}},
			`key "a.hostport" is declared twice`,
		},
		"a key that is a section": {
			[]config.Section{{Into: []any{new(top)}}, {Path: "debug", Into: []any{new(smtp)}}},
			`key "debug" is a section too`,
		},
		"a shared key in two ways": {
			[]config.Section{{Path: "a", Into: []any{new(lambda)}}, {Path: "b", Into: []any{new(other)}}},
			`key "aws.region" is declared in two ways`,
		},
		"no struct": {
			[]config.Section{{Path: "a", Into: []any{smtp{}}}},
			`section "a": cannot fill a config_test.smtp`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(config.Source{}, test.sections...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestFurtherVariablesAreReadAfterTheOneThatFollowsFromTheKey(t *testing.T) {
	type keys struct {
		A string        `key:"a" env:"OLD_A,OLDER_A" doc:"A."`
		B string        `key:"b" env:"-" doc:"B."`
		S config.Secret `key:"s" env:"OLD_S" doc:"S."`
	}
	tests := []struct {
		environ string
		want    keys
	}{
		{"OLDER_A=x", keys{A: "x"}},
		{"OLDER_A=x OLD_A=y", keys{A: "y"}},
		{"OLDER_A=x OLD_A=y X_A=z", keys{A: "z"}},
		{"X_B=x -=y", keys{}},
		{"OLD_S=x", keys{S: config.NewSecret("x")}},
	}
	for _, test := range tests {
		var got keys
		_, err := config.Load(config.Source{Environ: strings.Fields(test.environ)}, config.Section{Path: "x", Into: []any{&got}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got, sameSecrets); diff != "" {
			t.Errorf("%s: %s", test.environ, diff)
		}
	}
}

// checked has checks at three places, each of which fails when its key is 1.
type checked struct {
	checkedPart
	Sub checkedPart `key:"sub"`
	B   int         `key:"b" doc:"B."`
}

type checkedPart struct {
	A int `key:"a" doc:"A."`
}

func (c checkedPart) Validate() error {
	if c.A == 1 {
		return fmt.Errorf("part: %w", config.At("a", fmt.Errorf("must not be %d", c.A)))
	}
	return nil
}

func TestValidateOfEveryStructIsAskedOnceAndPlaced(t *testing.T) {
	var c checked
	src := text("x:\n  a: 1\n  sub:\n    a: 1\n")
	_, err := config.Load(src, config.Section{Path: "x", Into: []any{&c}})
	want := []string{"saker.yaml:2: x.a: must not be 1", "saker.yaml:4: x.sub.a: must not be 1"}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Error(diff)
	}
	src.Environ = []string{"X_A=2", "X_SUB_A=1"}
	_, err = config.Load(src, config.Section{Path: "x", Into: []any{&c}})
	if diff := cmp.Diff([]string{"environment X_SUB_A: must not be 1"}, lines(err)); diff != "" {
		t.Error(diff)
	}
}

type disagreeing struct {
	A   int `key:"a" doc:"A."`
	Sub struct {
		B int `key:"b" doc:"B."`
	} `key:"sub"`
}

func (disagreeing) Validate() error {
	one, two := errors.New("one"), errors.New("two")
	return errors.Join(
		config.At("a", errors.Join(one, two)),
		config.At("sub", config.At("b", fmt.Errorf("both %w and %w", one, two))),
		config.At("a", nil),
		fmt.Errorf("on the whole: %w", two),
	)
}

func TestValidateMayNameSeveralMistakes(t *testing.T) {
	var c disagreeing
	_, err := config.Load(text("x:\n  a: 1\n  sub:\n    b: 2\n"), config.Section{Path: "x", Into: []any{&c}})
	want := []string{
		"saker.yaml:1: x: on the whole: two",
		"saker.yaml:2: x.a: one", "saker.yaml:2: x.a: two",
		"saker.yaml:4: x.sub.b: both one and two",
	}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Error(diff)
	}
	_, err = config.Load(config.Source{}, config.Section{Path: "x", Into: []any{&c}})
	if diff := cmp.Diff([]string{"x.a: one", "x.a: two", "x.sub.b: both one and two", "x: on the whole: two"}, lines(err)); diff != "" {
		t.Error(diff)
	}
}

func TestBytesReadsAndShowsSizes(t *testing.T) {
	tests := []struct {
		text, shown string
		want        config.Bytes
	}{
		{"0", "0B", 0},
		{"1023", "1023B", 1023},
		{"5242880", "5MiB", 5 << 20},
		{" 64 MiB ", "64MiB", 64 << 20},
		{"64Mi", "64MiB", 64 << 20},
		{"1.5gib", "1536MiB", 3 << 29},
		{"1kB", "1000B", 1000},
		{"2M", "2000000B", 2_000_000},
		{"7b", "7B", 7},
		{"8TiB", "8TiB", 8 << 40},
	}
	for _, test := range tests {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(test.text)); err != nil || got != test.want || got.String() != test.shown {
			t.Errorf("%q is %v (%d), error %v; want %s", test.text, got, got, err, test.shown)
		}
	}
	for _, wrong := range []string{"", "MiB", "-1", "-1MiB", "1e3", "1PiB", "x", "1..5MiB", "9223372036854775808", "8388608TiB", "inf", "0x10"} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q was read as %v", wrong, got)
		}
	}
}
