package ingest

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

const (
	sourceInternal = "internal"
	sourceDefault  = "syscalls"
)

// Enrichment are the settings that change events on their way in. They stand at the top
// level of the configuration, as in Falcosidekick.
type Enrichment struct {
	BracketReplacer   string            `key:"bracketreplacer" doc:"When set, field names lose their brackets: \"proc.aname[2]\" becomes \"proc.aname_2\" with the replacer \"_\"."`
	OutputFieldFormat string            `key:"outputfieldformat" doc:"Rewrites the text of alerts that carry Falco's prefix. Tokens, in angle brackets: timestamp, priority, output, custom_fields, templated_fields, tags."`
	CustomFields      map[string]string `key:"customfields" percentenv:"true" doc:"Fields added to every event. In the environment variable a value of the form %NAME is replaced by the variable NAME."`
	CustomTags        []string          `key:"customtags" doc:"Tags added to every event."`
	TemplatedFields   map[string]string `key:"templatedfields" doc:"Fields computed for every event: Go templates over the event's output fields, evaluated in the order of their names."`
}

// Validate parses what is text in the configuration.
func (c Enrichment) Validate() error {
	for _, name := range slices.Sorted(maps.Keys(c.TemplatedFields)) {
		if _, err := parseTemplate(name, c.TemplatedFields[name]); err != nil {
			return config.At("templatedfields", err)
		}
	}
	return nil
}

// Enricher turns a decoded event into the one that is stored. It is safe for concurrent
// use.
type Enricher struct {
	custom     []event.Field
	customText string
	tags       []string
	templates  []fieldTemplate
	replacer   string
	format     string
}

// NewEnricher makes an Enricher; an error means a template that does not parse.
func NewEnricher(c Enrichment) (*Enricher, error) {
	en := &Enricher{tags: c.CustomTags, replacer: c.BracketReplacer, format: c.OutputFieldFormat}
	for _, name := range slices.Sorted(maps.Keys(c.CustomFields)) {
		en.custom = append(en.custom, event.Field{Name: name, Value: event.StringValue(c.CustomFields[name])})
	}
	en.customText = pairs(en.custom)
	for _, name := range slices.Sorted(maps.Keys(c.TemplatedFields)) {
		t, err := parseTemplate(name, c.TemplatedFields[name])
		if err != nil {
			return nil, err
		}
		en.templates = append(en.templates, t)
	}
	return en, nil
}

// Enrich returns e as it will be stored and delivered. The order of the steps is
// Falcosidekick's, because later steps see the results of earlier ones. The UUID is kept
// only if keepUUID is set and it is one: whoever can choose the id can make the journal
// take an event for one it already has.
//
// The event is not validated: fields added here count as the event's own.
func (en *Enricher) Enrich(e event.Event, keepUUID bool) event.Event {
	if len(en.custom) > 0 {
		e = e.WithFields(en.custom...)
	}
	if len(en.tags) > 0 {
		e.Tags = slices.Concat(e.Tags, en.tags)
	}
	if e.Rule == route.TestRule {
		e.Source = sourceInternal
	} else if e.Source == "" {
		e.Source = sourceDefault
	}
	e.UUID = identify(e.UUID, keepUUID)
	var templated []event.Field
	if len(en.templates) > 0 {
		e, templated = en.applyTemplates(e)
	}
	if !slices.IsSorted(e.Tags) {
		e.Tags = slices.Sorted(slices.Values(e.Tags))
	}
	if en.replacer != "" {
		e.Fields = replaceBrackets(e.Fields, en.replacer)
	}
	if en.format != "" {
		e.Output = reformat(en.format, e, en.customText, pairs(templated))
	}
	return truncate(e)
}

// applyTemplates adds the templated fields in the order of their names; each template sees
// the results of those before it.
func (en *Enricher) applyTemplates(e event.Event) (event.Event, []event.Field) {
	dot := templateData(e.Fields)
	added := make([]event.Field, 0, len(en.templates))
	for _, t := range en.templates {
		text := t.render(dot)
		dot[t.name] = text
		added = append(added, event.Field{Name: t.name, Value: event.StringValue(text)})
	}
	return e.WithFields(added...), added
}

// identify returns the id of an event that came with the id sent.
func identify(sent string, keep bool) string {
	if keep && len(sent) == len(uuid.Nil.String()) {
		if id, err := uuid.Parse(sent); err == nil && id != uuid.Nil {
			return id.String()
		}
	}
	return newID()
}

// newID returns a random UUID. Its generator is a ChaCha8 that the system seeds, so that
// ids cannot be foreseen and don't cost a system call.
func newID() string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id.String()
}
