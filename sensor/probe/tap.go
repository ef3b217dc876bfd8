package probe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// Decoder reads records that Options.Tap was given, also those of another boot or another
// machine whose Layout was the same.
type Decoder struct {
	decoder *decoder
}

// NewDecoder returns a Decoder of records that were made by a machine that was booted at
// boot.
func NewDecoder(boot time.Time) *Decoder {
	d := &Decoder{newDecoder()}
	d.SetBoot(boot)
	return d
}

// SetBoot says when the machine was booted, by a clock that has been set meanwhile.
func (d *Decoder) SetBoot(boot time.Time) { d.decoder.clock = clock{offset: boot.UnixNano()} }

// Decode returns the record, valid until the next call or until raw changes.
func (d *Decoder) Decode(raw []byte) (*Record, error) { return d.decoder.decode(raw) }

// BootTime is when this machine was booted, by its present clock. Records' times are counted
// from it.
func BootTime() time.Time { return time.Unix(0, bootOffset()) }

// Layout identifies the form of raw records: builds whose Layout differs cannot read each
// other's.
func Layout() string {
	h := sha256.New()
	for _, v := range []any{
		bpfHeader{}, bpfSection{}, bpfFileInfo{}, bpfSocketInfo{}, bpfExecInfo{}, bpfFacts{}, bpfChild{},
	} {
		t := reflect.TypeOf(v)
		fmt.Fprintln(h, t.Name(), t.Size())
		for f := range t.Fields() {
			fmt.Fprintln(h, f.Name, f.Offset, f.Type.Size(), f.Type.Kind())
		}
	}
	fmt.Fprintln(h, names)
	fmt.Fprintln(h, bpfSectionTagTAG_PATH, bpfSectionTagTAG_PATH2, bpfSectionTagTAG_DIR, bpfSectionTagTAG_DIR2,
		bpfSectionTagTAG_FILE, bpfSectionTagTAG_FILE_PATH, bpfSectionTagTAG_SOCKET, bpfSectionTagTAG_UNIX_PATH,
		bpfSectionTagTAG_ADDRESS, bpfSectionTagTAG_DATA, bpfSectionTagTAG_FACTS, bpfSectionTagTAG_CHILD,
		bpfSectionTagTAG_CGROUP, bpfSectionTagTAG_ARGV, bpfSectionTagTAG_ENV, bpfSectionTagTAG_EXE_PATH,
		bpfSectionTagTAG_CWD, bpfSectionTagTAG_EXEC)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Bare returns the raw form of a record of which no more is known than its kind, its process
// and when it happened. It is for tests of what reads records.
func Bare(kind Kind, pid int32, sinceBoot time.Duration) []byte {
	h := bpfHeader{Kind: uint16(kind), Pid: pid, Tid: pid, Time: uint64(sinceBoot)}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h)))
}
