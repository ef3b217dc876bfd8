package event_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

func TestWithFieldsAddsAndReplacesButLeavesTheOriginalAlone(t *testing.T) {
	e := event.Event{Fields: []event.Field{
		{Name: "a", Value: event.NumberValue("1")},
		{Name: "c", Value: event.BoolValue(true)},
	}}
	got := e.WithFields(
		event.Field{Name: "c", Value: event.StringValue("first")},
		event.Field{Name: "b", Value: event.Value{}},
		event.Field{Name: "c", Value: event.StringValue("last")},
	)
	if s := string(event.AppendJSONFields(nil, got.Fields)); s != `{"a":1,"b":null,"c":"last"}` {
		t.Errorf("got %s", s)
	}
	if s := string(event.AppendJSONFields(nil, e.Fields)); s != `{"a":1,"c":true}` {
		t.Errorf("the original has become %s", s)
	}
}

func TestFieldFindsByName(t *testing.T) {
	e := event.Event{Fields: event.SortFields([]event.Field{
		{Name: "proc.pid", Value: event.NumberValue("7")},
		{Name: "fd.name", Value: event.StringValue("/x")},
	})}
	if v, ok := e.Field("proc.pid"); !ok || v.Text() != "7" {
		t.Errorf("got %v, %v", v, ok)
	}
	if _, ok := e.Field("proc.p"); ok {
		t.Error("found a field that isn't there")
	}
	v, _ := e.Field("fd.name")
	if s, ok := v.Str(); !ok || s != "/x" {
		t.Errorf("got %q, %v", s, ok)
	}
	if s, ok := event.NumberValue("7").Str(); ok {
		t.Errorf("a number is taken for the string %q", s)
	}
	if s := (event.Value{}).Text(); s != "null" {
		t.Errorf("the text of null is %q", s)
	}
}

func TestPrioritiesAreReadInAnyCaseAndWrittenInFull(t *testing.T) {
	got := map[string]string{}
	for _, in := range []string{"emergency", "ALERT", "Critical", "error", "warning", "notice", "info", "INFORMATIONAL", "debug", ""} {
		var p event.Priority
		if err := p.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("%q: %v", in, err)
		}
		got[in] = p.String()
	}
	want := map[string]string{
		"emergency": "Emergency", "ALERT": "Alert", "Critical": "Critical", "error": "Error", "warning": "Warning",
		"notice": "Notice", "info": "Informational", "INFORMATIONAL": "Informational", "debug": "Debug", "": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p := event.Error
	if err := p.UnmarshalText([]byte("err")); err == nil || p != event.Error {
		t.Errorf("err gave %v and %v", p, err)
	}
}
