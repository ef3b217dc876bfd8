package config_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
)

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"testdata/example.yaml", "testdata/falcosidekick.yaml", "testdata/effective.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "SLACK_PORT=1\nCUSTOMFIELDS=a:b", false)
	}
	f.Add([]byte(`{"slack": {"port": 1}, "auth": {"tokens": [{"name": "a"}]}}`), `CUSTOMFIELDS={"a":1}`, true)
	f.Add([]byte("x-a: &a {footer: x, <<: *a}\nslack: {<<: [*a, *a], tags: ${X}}\noutputs: {a: *a, b: {type: slack}}"), "X=y", false)
	f.Add([]byte("slack: &s\n  retry: *s\n  '': *s\n"), "SLACK_FLUSH=1h", false)
	f.Fuzz(func(t *testing.T, file []byte, environ string, json bool) {
		src := config.Source{File: "c.yaml", Text: file, Environ: strings.Split(environ, "\n"), Known: config.FalcosidekickKeys()}
		if json {
			src.File = "c.json"
		}
		var w world
		loaded, err := w.load(src)
		if err != nil {
			if _, ok := errors.AsType[config.Problems](err); !ok {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			if len(lines(err)) == 0 {
				t.Fatal("the error says nothing")
			}
		}
		if err := loaded.WriteEffective(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	file, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		b.Fatal(err)
	}
	src := config.Source{Text: file, Environ: os.Environ(), Known: config.FalcosidekickKeys()}
	b.ReportAllocs()
	for b.Loop() {
		var w world
		if _, err := w.load(src); err != nil {
			b.Fatal(err)
		}
	}
}
