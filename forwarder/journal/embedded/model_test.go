package embedded

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// stored is what the model knows of an event.
type stored struct {
	uuid, text string
	class      uint8
	only       string
}

// modelOutput is what the model knows of an output.
type modelOutput struct {
	name     string
	minimum  event.Priority
	c        *Consumer
	pending  map[string]bool // text: stored and not acknowledged
	held     map[string]journal.Delivery
	handed   map[string]bool // at least once
	unsure   map[string]bool // whether they count as handed out
	unsaved  map[string]bool // acknowledged, perhaps not saved yet
	maybe    map[string]bool // acknowledged, and may come again after a crash
	finished uint64
	lost     uint64 // by Consumers that are closed
	total    uint64
	last     uint64 // sequence handed out for the first time
}

// model runs random operations on a journal and knows what must come of them.
type model struct {
	t       *testing.T
	rnd     *rand.Rand
	dir     string
	limited bool // the journal's limits remove events
	j       *Journal
	events  []stored
	outputs []*modelOutput
}

func (m *model) open() {
	m.t.Helper()
	m.j = open(m.t, m.dir, func(c *journal.Config) { c.MaxBytes = 16 << 20 })
	m.j.head.maxEvents = 24 // so that outputs often read the log
	for _, o := range m.outputs {
		m.attach(o)
	}
}

func (m *model) attach(o *modelOutput) {
	m.t.Helper()
	o.c = consumer(m.t, m.j, o.name, o.minimum)
	clear(o.held)
}

// detach closes an output's cursor.
func (m *model) detach(o *modelOutput) {
	m.t.Helper()
	closeConsumer(m.t, o.c)
	clear(o.unsaved) // Close saves
	o.lost += m.lag(o).Lost
	o.c = nil
}

func (m *model) lag(o *modelOutput) journal.Lag {
	m.t.Helper()
	lag, err := o.c.Lag(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return lag
}

func (m *model) event() event.Event {
	e := sample(len(m.events), event.Priority(m.rnd.IntN(9)))
	e.Output = uuid.NewString()
	if m.rnd.IntN(20) == 0 {
		e.Rule = "Test rule"
	}
	if m.limited {
		e.Fields = append(e.Fields, event.Field{Name: "zzz", Value: event.StringValue(strings.Repeat("x", m.rnd.IntN(120<<10)))})
	}
	return e
}

func (m *model) append() {
	var batch []event.Event
	var added []stored
	for range 1 + m.rnd.IntN(12) {
		e := m.event()
		added = append(added, stored{e.UUID, e.Output, classOf(&e), ""})
		batch = append(batch, e)
		switch m.rnd.IntN(10) {
		case 0:
			batch = append(batch, e) // twice in one call
		case 1:
			if len(m.events) > 0 && !m.limited { // sent again; what limits removed is forgotten by a restart
				again := e
				if again.UUID = m.events[m.rnd.IntN(len(m.events))].uuid; again.UUID != "" {
					batch = append(batch, again)
				}
			}
		}
	}
	mustAppend(m.t, m.j, batch...)
	m.stored(added)
}

func (m *model) appendFor() {
	o := m.outputs[m.rnd.IntN(len(m.outputs))]
	var batch []event.Event
	var added []stored
	for range 1 + m.rnd.IntN(5) {
		e := m.event()
		added = append(added, stored{"", e.Output, directed, o.name})
		batch = append(batch, e)
	}
	call := uuid.NewString()
	for range 1 + m.rnd.IntN(2) {
		if err := m.j.AppendFor(m.t.Context(), o.name, call, batch); err != nil {
			m.t.Fatal(err)
		}
	}
	m.stored(added)
}

func (m *model) stored(added []stored) {
	m.events = append(m.events, added...)
	for _, o := range m.outputs {
		f := filter{o.name, o.minimum}
		for _, e := range added {
			if f.passes(e.class, e.only) {
				o.pending[e.text] = true
				o.total++
			}
		}
	}
}

func (m *model) fetch(o *modelOutput) {
	m.t.Helper()
	ds, err := o.c.Fetch(m.t.Context(), 1+m.rnd.IntN(40), 0, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range ds {
		text := d.Event.Output
		switch {
		case !o.pending[text] && !o.maybe[text]:
			m.t.Fatalf("%s gets an event that isn't pending: %d", o.name, d.Sequence)
		case o.held[text].Sequence > 0:
			m.t.Fatalf("%s gets an event that it has in hand: %d, attempt %d, before %d, attempt %d", o.name, d.Sequence, d.Attempt, o.held[text].Sequence, o.held[text].Attempt)
		case o.handed[text] && d.Attempt == 1 && !o.unsure[text]:
			m.t.Fatalf("%s gets %d again, said to be the first attempt", o.name, d.Sequence)
		case !o.handed[text] && d.Attempt != 1:
			m.t.Fatalf("%s gets %d for the first time, said to be attempt %d", o.name, d.Sequence, d.Attempt)
		case d.Attempt == 1 && d.Sequence <= o.last && !o.unsure[text]:
			m.t.Fatalf("%s gets %d behind %d", o.name, d.Sequence, o.last)
		}
		if d.Attempt == 1 {
			o.last = max(o.last, d.Sequence)
		}
		if o.maybe[text] {
			delete(o.maybe, text)
			o.pending[text] = true
			o.finished--
		}
		o.held[text], o.handed[text] = d, true
	}
}

// settle acknowledges or gives back some of what is in hand.
func (m *model) settle(o *modelOutput) {
	for _, text := range slices.Sorted(maps.Keys(o.held)) {
		d := o.held[text]
		switch m.rnd.IntN(4) {
		case 0, 1:
			if err := d.Ack(); err != nil {
				m.t.Fatal(err)
			}
			delete(o.pending, text)
			o.unsaved[text] = true
			o.finished++
		case 2:
			if err := d.Nak(0); err != nil {
				m.t.Fatal(err)
			}
		default:
			continue
		}
		delete(o.held, text)
	}
}

// crash goes on with the files as a kill would leave them.
func (m *model) crash() {
	m.t.Helper()
	saved := m.rnd.IntN(2) == 0
	if saved {
		if err := m.j.cursors.save(); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, o := range m.outputs {
		o.lost += m.lag(o).Lost
		if !saved {
			maps.Copy(o.maybe, o.unsaved)
			maps.Copy(o.unsure, o.handed) // that they were handed out may not be saved
		}
		clear(o.unsaved)
	}
	next := filepath.Join(m.t.TempDir(), "copy")
	if err := os.CopyFS(next, os.DirFS(m.dir)); err != nil {
		m.t.Fatal(err)
	}
	closeJournal(m.t, m.j)
	m.dir = next
	m.open()
}

func (m *model) reopen() {
	m.t.Helper()
	for _, o := range m.outputs {
		m.detach(o)
	}
	closeJournal(m.t, m.j)
	m.open()
}

// check compares what the journal says of itself with the model.
func (m *model) check() {
	m.t.Helper()
	for _, o := range m.outputs {
		lag := m.lag(o)
		if len(o.maybe) > 0 {
			continue
		}
		lost := o.lost + lag.Lost
		if lag.InFlight < len(o.held) {
			m.t.Fatalf("%s: in flight are %d, want at least %d", o.name, lag.InFlight, len(o.held))
		}
		if want := uint64(len(o.pending)); lag.Pending+lost != want && !m.limited {
			m.t.Fatalf("%s: pending is %d and lost %d, want %d together", o.name, lag.Pending, lost, want)
		}
		if sum := lag.Pending + lost + o.finished; sum != o.total && !m.limited {
			m.t.Fatalf("%s: %d pending, %d lost, %d acknowledged, want %d together", o.name, lag.Pending, lost, o.finished, o.total)
		}
	}
}

// drain acknowledges everything, and checks that every event was acknowledged or is lost.
func (m *model) drain() {
	m.t.Helper()
	for _, o := range m.outputs {
		for text, d := range o.held {
			if err := d.Ack(); err != nil {
				m.t.Fatal(err)
			}
			delete(o.pending, text)
			o.finished++
		}
		clear(o.held)
		for {
			m.fetch(o)
			if len(o.held) == 0 {
				break
			}
			for text, d := range o.held {
				if err := d.Ack(); err != nil {
					m.t.Fatal(err)
				}
				delete(o.pending, text)
				o.finished++
			}
			clear(o.held)
		}
		lag := m.lag(o)
		lost := o.lost + lag.Lost
		if lag.Pending != 0 || lag.InFlight != 0 {
			m.t.Errorf("%s: %d are pending and %d in flight at the end", o.name, lag.Pending, lag.InFlight)
		}
		if o.finished+lost != o.total {
			m.t.Errorf("%s: %d acknowledged and %d lost, want %d together", o.name, o.finished, lost, o.total)
		}
		if lost != uint64(len(o.pending)) {
			m.t.Errorf("%s: %d are said to be lost and %d never came", o.name, lost, len(o.pending))
		}
	}
}

func runModel(t *testing.T, seed uint64, steps int, limited bool) {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), limited: limited}
	m.open()
	for i, minimum := range []event.Priority{event.None, event.Warning, event.Emergency} {
		o := &modelOutput{
			name: fmt.Sprintf("out %d", i), minimum: minimum, pending: map[string]bool{}, held: map[string]journal.Delivery{},
			handed: map[string]bool{}, unsaved: map[string]bool{}, unsure: map[string]bool{}, maybe: map[string]bool{},
		}
		m.attach(o)
		m.outputs = append(m.outputs, o)
	}
	for range steps {
		o := m.outputs[m.rnd.IntN(len(m.outputs))]
		switch n := m.rnd.IntN(100); {
		case n < 40:
			m.append()
		case n < 44:
			m.appendFor()
		case n < 70:
			m.fetch(o)
		case n < 90:
			m.settle(o)
		case n < 95:
			m.detach(o)
			m.attach(o)
		case n < 97:
			m.reopen()
		case n < 98 && !limited:
			m.crash()
		default:
			m.check()
		}
	}
	m.drain()
	sequences := map[uint64]bool{}
	all, err := m.j.Recent(context.Background(), len(m.events))
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for _, e := range all {
		if sequences[e.Sequence] || e.Sequence <= last {
			t.Errorf("sequence %d comes behind %d", e.Sequence, last)
		}
		last = e.Sequence
	}
}

func TestRandomOperationsDeliverEveryEventUntilItIsAcknowledged(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runModel(t, seed, 250, false) })
	}
}

func TestRandomOperationsUnderLimitsDeliverOrCountAsLost(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runModel(t, seed, 250, true) })
	}
}
