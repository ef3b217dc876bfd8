package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
)

type peers struct {
	Host     string   `key:"host" required:"true" doc:"Host."`
	Footer   string   `key:"footer" default:"x" inert:"nobody shows it" doc:"Footer."`
	Versions []string `key:"versions" default:"1, 2" inert:"the server tells" doc:"Versions."`
}

func TestWhoSetsAKeyWithoutEffectIsToldWhy(t *testing.T) {
	for file, want := range map[string][]string{
		"{host: h}": nil,
		// A default that is spelled out asks for nothing.
		"{host: h, footer: x, versions: [1, 2]}": nil,
		"{host: h, footer: y, versions: [3]}": {
			"saker.yaml:1: redis.footer: has no effect: nobody shows it",
			"saker.yaml:1: redis.versions: has no effect: the server tells",
		},
	} {
		loaded, err := config.Load(text("redis: "+file+"\n"), config.Section{Path: "redis", Into: []any{new(peers)}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	src := config.Source{Environ: []string{"REDIS_HOST=h", "REDIS_FOOTER=y"}}
	loaded, err := config.Load(src, config.Section{Path: "redis", Into: []any{new(peers)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(loaded.Warnings); len(got) != 1 || !strings.HasPrefix(got[0], "environment REDIS_FOOTER: has no effect: nobody shows it") {
		t.Errorf("warnings %q", got)
	}
}
