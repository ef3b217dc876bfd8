package event_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		g1, typical, `{}`, `null`, `{"rule":"\ud83d\ude00\ud800x\u0000"}`, alert("", ""),
		alert("output_fields", `{"a":{"z":[1,-0.5e+7,{"b":"<","b":2}],"y":null},"a[1]":true,"b":"`+"\xff\u2028"+`"}`),
		alert("UUID", `"3F0D6B1E-95a5-4e3c-9d0f-5a8f1c9be111"`), alert("tags", `[null,"x"]`), alert("time", `"2024-01-02T3:04:05,5+23:59"`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := event.Decode(data)
		want, refErr := decodeReference(data)
		if err != nil {
			return
		}
		encoded := e.AppendJSON(nil)
		if !json.Valid(encoded) {
			t.Fatalf("%q was encoded as invalid JSON %q", data, encoded)
		}
		if len(encoded) <= event.MaxEventBytes {
			again, err := event.Decode(encoded)
			if err != nil {
				t.Fatalf("the encoding %q is refused: %v", encoded, err)
			}
			if diff := cmp.Diff(e, again, compareValues); diff != "" {
				t.Fatalf("the event has changed on the way: %s", diff)
			}
		}
		if refErr != nil {
			return
		}
		if priority, ok := event.ParsePriority(want.Priority); ok {
			want.Priority = priority.String()
		}
		want.UUID = nil
		if e.UUID != "" {
			want.UUID = e.UUID
		}
		if want.Fields == nil {
			want.Fields = map[string]any{}
		}
		reference, err := json.Marshal(want)
		if err != nil {
			t.Fatalf("encoding/json refuses what Decode accepts: %v", err)
		}
		if diff := cmp.Diff(string(reference), string(encoded)); diff != "" {
			t.Fatalf("encoding/json reads or writes it otherwise: %s", diff)
		}
	})
}

// A batch of events and the same events alone are the same.
func FuzzDecodeAll(f *testing.F) {
	f.Add([]byte(g1 + "\n" + typical))
	f.Add([]byte("[" + g1 + "," + typical + "]"))
	f.Add([]byte(`[{},{"rule":"\u0041"}] `))
	f.Add([]byte(`{}{}{"x":[}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := event.DecodeAll(data, 100)
		if len(events) > 100 || err == nil && len(events) == 0 {
			t.Fatalf("got %d events and error %v", len(events), err)
		}
		one, oneErr := event.Decode(data)
		if oneErr == nil && (err != nil || len(events) != 1) {
			t.Fatalf("alone it is an event, but DecodeAll gives %d events and %v", len(events), err)
		}
		if oneErr == nil {
			if diff := cmp.Diff(one, events[0], compareValues); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func FuzzAppendJSONString(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x00\x1f\"\\<>&\u2028\u2029\xff\xe2\x80", "aaaaaaa<", "aaaaaaaaaaaaaaa\u007fé"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := event.AppendJSONString(nil, s); string(got) != string(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := event.AppendJSONString(nil, []byte(s)); string(got) != string(want) {
			t.Errorf("as bytes: got %q, want %q", got, want)
		}
	})
}
