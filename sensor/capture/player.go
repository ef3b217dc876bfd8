package capture

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

// Player plays a capture back. It is used from one goroutine.
type Player struct {
	name       string
	file       io.ReadSeekCloser
	reader     *reader
	processes  *process.Table
	users      *process.Users
	containers *container.Resolver
	records    uint64
	malformed  uint64
	played     bool
}

// Open opens a capture that this program can play. The error says what is wrong with the
// file, or who can.
func Open(name string) (*Player, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open a capture: %w", err)
	}
	p, err := newPlayer(name, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the capture %q: %w", name, err), f.Close())
	}
	return p, nil
}

func newPlayer(name string, f io.ReadSeekCloser) (*Player, error) {
	p := &Player{
		name: name, file: f,
		processes:  process.NewRestored(process.Options{Env: true}),
		users:      process.NewRestoredUsers(),
		containers: container.NewResolver(0),
	}
	if err := p.learnContainers(); err != nil {
		return nil, err
	}
	if err := p.rewind(); err != nil {
		return nil, err
	}
	return p, nil
}

// rewind starts to read from the beginning.
func (p *Player) rewind() error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if p.reader != nil {
		p.reader.close()
	}
	var err error
	if p.reader, err = newReader(p.file); err != nil {
		return err
	}
	return p.reader.header.Check()
}

// learnContainers reads what the capture knows of containers in the end: live, an alert
// waits for it.
func (p *Player) learnContainers() error {
	if err := p.rewind(); err != nil {
		return err
	}
	for {
		t, body, err := p.reader.next()
		if err != nil {
			return nil // Run comes to the same place and says so
		}
		if t == containerEntry {
			if err := p.apply(t, body); err != nil {
				return nil
			}
		}
	}
}

// Header says where the capture was made.
func (p *Player) Header() Header { return p.reader.header }

// End returns the end of the capture once Run has come to it; nil for one that was cut off.
func (p *Player) End() *End { return p.reader.end }

// Records is how many records Run has played, Malformed how many more it could not read.
func (p *Player) Records() (records, malformed uint64) { return p.records, p.malformed }

// Processes are those of the capture, as of the record that is played.
func (p *Player) Processes() *process.Table { return p.processes }

// Users are the accounts of the capture.
func (p *Player) Users() *process.Users { return p.users }

// Containers are those of the capture.
func (p *Player) Containers() *container.Resolver { return p.containers }

// Source returns the source of the events that the records make. hosts may be nil.
func (p *Player) Source(hosts *syscalls.Hosts) *syscalls.Source {
	return syscalls.New(syscalls.Options{
		Processes: p.processes, Users: p.users, Containers: p.containers, Hosts: hosts, Hostname: p.Header().Hostname,
	})
}

// Run calls handle with every record, as a probe's Run does, until ctx or the capture ends,
// and returns nil. A *DamagedError says that what follows a place cannot be read. It may be
// called once.
func (p *Player) Run(ctx context.Context, handle func(*probe.Record)) error {
	if p.played {
		return errors.New("the capture has been played already")
	}
	p.played = true
	decoder := probe.NewDecoder(p.Header().Boot)
	for ctx.Err() == nil {
		t, body, err := p.reader.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("play the capture %q: %w", p.name, err)
		}
		switch t {
		case recordEntry:
			rec, err := decoder.Decode(body)
			if err != nil {
				p.malformed++
				continue
			}
			p.records++
			handle(rec)
		case bootEntry:
			if len(body) == 8 {
				decoder.SetBoot(time.Unix(0, int64(binary.LittleEndian.Uint64(body))))
			}
		default:
			if err := p.apply(t, body); err != nil {
				return fmt.Errorf("play the capture %q: %w", p.name, err)
			}
		}
	}
	return nil
}

// apply takes over an entry that records refer to. What a later version adds is left out.
func (p *Player) apply(t entryType, body []byte) error {
	var err error
	switch t {
	case processEntry:
		var s process.Snapshot
		if err = json.Unmarshal(body, &s); err == nil {
			p.processes.Restore(s)
		}
	case accountsEntry:
		var a accountsOf
		if err = json.Unmarshal(body, &a); err == nil {
			p.users.Restore(a.Container, a.Accounts)
		}
	case containerEntry:
		info := &container.Info{}
		if err = json.Unmarshal(body, info); err == nil {
			p.containers.Store(info)
		}
	}
	if err != nil {
		return &DamagedError{p.reader.offset, err.Error()}
	}
	return nil
}

// Close closes the file.
func (p *Player) Close() error {
	p.reader.close()
	return p.file.Close()
}
