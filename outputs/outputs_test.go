package outputs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

type settings struct {
	Channel string `key:"channel" default:"general" doc:"Where to post."`
}

type noop struct{}

func (noop) Send(context.Context, []event.Event) error { return nil }

func newNoop(settings, outputs.Env) (outputs.Sender, error) { return noop{}, nil }

func kind(name string) outputs.Kind[settings] {
	return outputs.Kind[settings]{Name: name, Title: "Test", Doc: "Goes nowhere.", New: newNoop}
}

// register registers a kind for all runs of the tests in this process.
func register(k outputs.Kind[settings]) {
	if _, ok := outputs.Lookup(k.Name); !ok {
		outputs.Register(k)
	}
}

func TestAKindIsFoundByItsName(t *testing.T) {
	k := kind("zz_found")
	k.Key, k.Batch, k.Serial = "zz.found", 7, true
	register(k)
	got, ok := outputs.Lookup("zz_found")
	if !ok || got.Key != "zz.found" || got.Batch != 7 || !got.Serial || got.Title != "Test" || got.Doc != "Goes nowhere." {
		t.Errorf("got %+v, %t", got, ok)
	}
	cfg := got.NewConfig()
	if sender, err := got.Build(cfg, outputs.Env{}); err != nil || sender == nil {
		t.Errorf("build: %v", err)
	}
	if _, err := got.Build(&struct{}{}, outputs.Env{}); err == nil {
		t.Error("a configuration of another type was taken")
	}
	if _, ok := outputs.Lookup("zz_none"); ok {
		t.Error("a kind that nobody registered was found")
	}
}

func TestADeclarationHasDefaults(t *testing.T) {
	register(kind("zz_plain"))
	got, _ := outputs.Lookup("zz_plain")
	if got.Key != "zz_plain" || got.Batch != 1 {
		t.Errorf("key %q and batch %d, want zz_plain and 1", got.Key, got.Batch)
	}
}

func TestKindsAreSortedByName(t *testing.T) {
	register(kind("zz_b"))
	register(kind("zz_a"))
	var names []string
	for _, k := range outputs.Kinds() {
		if k.Name == "zz_a" || k.Name == "zz_b" {
			names = append(names, k.Name)
		}
	}
	if strings.Join(names, " ") != "zz_a zz_b" {
		t.Errorf("got %v", names)
	}
}

func TestADeclarationThatCannotBeRightPanics(t *testing.T) {
	register(kind("zz_twice"))
	withoutDoc := kind("zz_nodoc")
	withoutDoc.Doc = ""
	withoutNew := kind("zz_nonew")
	withoutNew.New = nil
	type undocumented struct {
		Channel string `key:"channel"`
	}
	for name, declare := range map[string]func(){
		"twice":          func() { outputs.Register(kind("zz_twice")) },
		"no name":        func() { outputs.Register(kind("")) },
		"no doc":         func() { outputs.Register(withoutDoc) },
		"no constructor": func() { outputs.Register(withoutNew) },
		"a key without a doc": func() {
			outputs.Register(outputs.Kind[undocumented]{Name: "zz_key", Title: "T", Doc: "D.", New: func(undocumented, outputs.Env) (outputs.Sender, error) { return noop{}, nil }})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: did not panic", name)
				}
			}()
			declare()
		}()
	}
}

func TestTheClassOfAnErrorSurvivesWrapping(t *testing.T) {
	cause := errors.New("cause")
	rejected := fmt.Errorf("send: %w", outputs.Reject(cause))
	if !outputs.Rejected(rejected) || outputs.Delay(rejected) != 0 || !errors.Is(rejected, cause) || rejected.Error() != "send: cause" {
		t.Errorf("rejected: %v", rejected)
	}
	later := fmt.Errorf("send: %w", outputs.RetryAfter(time.Minute, cause))
	if outputs.Rejected(later) || outputs.Delay(later) != time.Minute || !errors.Is(later, cause) || later.Error() != "send: cause" {
		t.Errorf("later: %v", later)
	}
	if outputs.Rejected(cause) || outputs.Delay(cause) != 0 || outputs.Rejected(nil) || outputs.Delay(nil) != 0 {
		t.Error("a plain error has a class")
	}
	if outputs.Reject(nil) != nil || outputs.RetryAfter(time.Second, nil) != nil {
		t.Error("no error has become one")
	}
}

func TestPartialNamesTheFirstFailureAndHidesTheClassOfItsParts(t *testing.T) {
	p := outputs.Partial{7: errors.New("seven"), 2: outputs.Reject(errors.New("two"))}
	if got, want := p.Error(), "2 of the batch's events failed, the first of them: two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if outputs.Rejected(p.OrNil()) {
		t.Error("a batch is rejected because one of its events is")
	}
	got, ok := errors.AsType[outputs.Partial](fmt.Errorf("bulk: %w", p.OrNil()))
	if !ok || len(got) != 2 {
		t.Errorf("got %v, %t", got, ok)
	}
	if (outputs.Partial{}).OrNil() != nil || outputs.Partial(nil).OrNil() != nil {
		t.Error("a batch without failures is an error")
	}
	if got := (outputs.Partial{}).Error(); got != "no event failed" {
		t.Errorf("got %q", got)
	}
}
