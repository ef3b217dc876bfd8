// Package capture writes what the sensor sees to a file and plays it back, on the same
// machine or another one, so that what rules make of it can be looked at again and again.
//
//	kernel ── probe ── Recorder ── file ── Player ── fields ── rules
//
// A Player stands where the probe, the process table, the accounts and the containers of a
// live sensor do; all behind it is the same code.
//
// # The file
//
//	"SAKERCAP" version │ length checksum header │ length checksum chunk │ …
//
// The version is one byte. Header and chunks are preceded by their length and their CRC-32C,
// four bytes each, least significant first. The header is JSON. A chunk is a Zstandard frame
// of entries, each a byte of its type, its length as a varint, and its bytes: a record as
// the probe's programs wrote it, a process, accounts, a container, the time of boot, or the
// end. What a record refers to comes before it. A chunk is written at least once a second, so
// a file that was cut off by whatever cause is good up to its last whole chunk.
//
// Records hold command lines and, unless it was left out, environments: a file is as secret
// as what runs on the machine. It is made for its owner alone.
package capture

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

const (
	magic   = "SAKERCAP"
	version = 1
)

// Limits of a file. A reader refuses what is beyond them.
const (
	maxHeader = 64 << 10 // bytes of the header
	maxEntry  = 4 << 20  // bytes of an entry
	maxChunk  = 16 << 20 // bytes of a chunk's entries, and of its frame
	chunkSize = 256 << 10
)

// entryType is what an entry is.
type entryType byte

const (
	recordEntry    entryType = 1 + iota // bytes of the probe
	processEntry                        // process.Snapshot
	accountsEntry                       // accountsOf
	containerEntry                      // container.Info
	bootEntry                           // time of boot
	endEntry                            // End
)

// Header says where and by what a file was made.
type Header struct {
	// Machine is the architecture, as Go calls it; Kernel the kernel's release.
	Machine, Kernel string
	Hostname        string
	// Boot is when the machine was booted, Started when the recording was.
	Boot, Started time.Time
	// Build is the version of the program.
	Build string
	// Layout is that of the records, see probe.Layout.
	Layout string
	// Env says that environments may be inside, Rules how many rules said what is of
	// interest: 0 when every kind of event is.
	Env   bool
	Rules int
}

// NewHeader returns the header of a file that is made now on this machine.
func NewHeader(hostname, build string) Header {
	var u unix.Utsname
	_ = unix.Uname(&u) // without it the release stays empty
	return Header{
		Machine: runtime.GOARCH, Kernel: unix.ByteSliceToString(u.Release[:]), Hostname: hostname,
		Boot: probe.BootTime(), Started: time.Now(), Build: build, Layout: probe.Layout(),
	}
}

// Check says whether this program can play the records of a file with the header.
func (h Header) Check() error {
	switch {
	case h.Machine != runtime.GOARCH:
		return fmt.Errorf("it was recorded on %q, whose numbers mean other things than those of this machine (%s)", h.Machine, runtime.GOARCH)
	case h.Layout != probe.Layout():
		return fmt.Errorf("it was recorded by version %q, whose records have another form than this version's: use that version to play it", h.Build)
	}
	return nil
}

// End is the last entry of a file that was not cut off.
type End struct {
	// Records is how many records the file has, Lost how many the kernel had to drop.
	Records, Lost uint64
	// Reason is why the recording ended.
	Reason string
}

// ErrFormat says that a file is no capture at all.
var ErrFormat = errors.New("it is no capture file")

// DamagedError says that a part of a file is not what was written. What comes before is
// good.
type DamagedError struct {
	// Offset is where the part starts, in bytes.
	Offset int64
	Reason string
}

// Error returns place and reason.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the file is damaged at byte %d: %s", e.Offset, e.Reason)
}
