package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// A key stands for what must be stored once. The zero key is never a duplicate.
type key [16]byte

// uuidKey is the key of an event with the given UUID.
func uuidKey[S string | []byte](uuid S) (k key) {
	if len(uuid) == 0 {
		return k
	}
	if len(uuid) == 36 && uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-' {
		var digits [32]byte
		n := copy(digits[:], uuid[:8])
		n += copy(digits[n:], uuid[9:13])
		n += copy(digits[n:], uuid[14:18])
		n += copy(digits[n:], uuid[19:23])
		copy(digits[n:], uuid[24:])
		if _, err := hex.Decode(k[:], digits[:]); err == nil && k != (key{}) {
			return k
		}
	}
	return hashKey([]byte(uuid))
}

// callKey is the key of the event at the given place of a call that stores events for one
// output.
func callKey(output, call string, place uint32) key {
	b := make([]byte, 0, 128)
	b = append(b, "for"...)
	b = appendString(b, output)
	b = appendString(b, call)
	return hashKey(binary.AppendUvarint(b, uint64(place)))
}

func hashKey(b []byte) (k key) {
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
	return k
}

// lineKey is the key of the event whose text is line, without decoding it: AppendJSON
// writes the UUID first.
func lineKey(line []byte) key {
	rest, ok := bytes.CutPrefix(line, []byte(`{"uuid":"`))
	if !ok {
		return key{}
	}
	uuid, _, ok := bytes.Cut(rest, []byte{'"'})
	if !ok || bytes.IndexByte(uuid, '\\') >= 0 {
		return key{} // such a UUID is not kept when the text is decoded
	}
	return uuidKey(uuid)
}

// maxKeys is the most keys of one generation. Both together take less than 100 MiB.
const maxKeys = 1 << 20

// window remembers keys for at least width, unless more than maxKeys come in that time,
// and at most twice as long. It has two generations: the older one is forgotten as a whole
// when the younger one is full or has reached its age. One goroutine may use it.
type window struct {
	width      time.Duration
	young, old map[key]struct{}
	since      time.Time // of young
}

// add remembers k, and reports whether it is new.
func (w *window) add(k key, now time.Time) bool {
	if k == (key{}) {
		return true
	}
	w.turn(now)
	if _, ok := w.young[k]; ok {
		return false
	}
	if _, ok := w.old[k]; ok {
		return false
	}
	w.young[k] = struct{}{}
	return true
}

// turn begins a new generation when it is time.
func (w *window) turn(now time.Time) {
	age := now.Sub(w.since)
	switch {
	case w.young == nil || age >= 2*w.width:
		w.young, w.old, w.since = map[key]struct{}{}, nil, now
	case age >= w.width || len(w.young) >= maxKeys:
		w.young, w.old, w.since = make(map[key]struct{}, min(len(w.young), 1<<10)), w.young, now
	}
}

// forget takes back keys that were added for what then wasn't stored.
func (w *window) forget(keys []key) {
	for _, k := range keys {
		delete(w.young, k)
		delete(w.old, k)
	}
}
