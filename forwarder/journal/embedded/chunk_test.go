package embedded

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

func exampleChunk(only string) *chunk {
	c := &chunk{first: 1000, stored: time.Unix(1700000000, 123), classes: []byte{4, 9, 0}}
	for i := range c.before {
		c.before[i] = uint64(i) * 1e6
	}
	if only != "" {
		c.output, c.call = only, "replay 7"
		c.places, c.classes = []uint32{0, 3, 200}, bytes.Repeat([]byte{directed}, 3)
	}
	for _, e := range samples(3) {
		c.text = append(e.AppendJSON(c.text), '\n')
	}
	return c
}

func encodeChunk(c *chunk) []byte { return c.appendTrailer(slices.Clone(c.text)) }

func TestAChunkIsReadAsItWasWritten(t *testing.T) {
	for _, only := range []string{"", "slack"} {
		want := exampleChunk(only)
		got, err := decodeChunk(encodeChunk(want))
		if err != nil {
			t.Fatal(err)
		}
		if got.first != want.first || !got.stored.Equal(want.stored) || got.before != want.before ||
			got.output != want.output || got.call != want.call || !bytes.Equal(got.classes, want.classes) ||
			!slices.Equal(got.places, want.places) || !bytes.Equal(got.text, want.text) {
			t.Errorf("read %+v, want %+v", got, want)
		}
		w, n := walk{chunk: got}, 0
		for w.skipTo(1000); w.more(); w.step() {
			n++
			if e, err := w.event(); err != nil || w.sequence() != uint64(1000+n) || e.Output == "" {
				t.Errorf("event %d is %+v, %v", w.sequence(), e, err)
			}
		}
		if n != 2 {
			t.Errorf("%d events are behind the first", n)
		}
	}
}

func TestAChunkThatIsCutIsAnError(t *testing.T) {
	data := encodeChunk(exampleChunk(""))
	for n := range data {
		if _, err := decodeChunk(data[:n]); err == nil {
			t.Errorf("%d of %d bytes are a chunk", n, len(data))
		}
	}
}

func FuzzChunk(f *testing.F) {
	f.Add(encodeChunk(exampleChunk("")))
	f.Add(encodeChunk(exampleChunk("slack")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeChunk(data)
		if err != nil {
			return
		}
		again, err := decodeChunk(encodeChunk(c))
		if err != nil || again.first != c.first || again.before != c.before || again.len() != c.len() {
			t.Fatalf("read again it is %+v, %v, want %+v", again, err, c)
		}
		n := 0
		for w := (walk{chunk: c}); w.more(); w.step() {
			_, _ = w.event()
			_ = c.key(&w)
			n++
		}
		if n != c.len() {
			t.Errorf("%d of %d events are there", n, c.len())
		}
	})
}

func TestTheKeyOfALineIsThatOfTheEvent(t *testing.T) {
	for _, id := range []string{uuid.NewString(), "", "not a uuid", "00000000-0000-0000-0000-000000000000"} {
		e := event.Event{UUID: id, Rule: "r", Output: "o"}
		if lineKey(e.AppendJSON(nil)) != uuidKey(id) {
			t.Errorf("the key of %q differs", id)
		}
		if (uuidKey(id) == key{}) != (id == "") {
			t.Errorf("the key of %q is %x", id, uuidKey(id))
		}
	}
}

func TestTheWindowRemembersForItsWidthAndNoLongerThanTwice(t *testing.T) {
	w := window{width: time.Minute}
	now := time.Now()
	if !w.add(key{1}, now) || w.add(key{1}, now) {
		t.Fatal("a key is not new once")
	}
	for range 2 {
		if !w.add(key{}, now) {
			t.Error("the zero key is remembered")
		}
	}
	for _, after := range []time.Duration{59 * time.Second, 61 * time.Second, 119 * time.Second} {
		if w.add(key{1}, now.Add(after)) {
			t.Errorf("it is forgotten after %s", after)
		}
	}
	if !w.add(key{1}, now.Add(122*time.Second)) {
		t.Error("it is remembered after twice the width")
	}
	w.forget([]key{{1}})
	if !w.add(key{1}, now.Add(123*time.Second)) {
		t.Error("it is not forgotten")
	}
}

func TestTheWindowIsBounded(t *testing.T) {
	w := window{width: time.Hour}
	now := time.Now()
	for i := range 2*maxKeys + maxKeys/2 {
		w.add(key{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24), 1}, now)
	}
	if n := len(w.young) + len(w.old); n > 2*maxKeys {
		t.Errorf("%d keys are remembered", n)
	}
}
