package awssecuritylake

import (
	"bytes"

	"github.com/parquet-go/parquet-go"

	"github.com/saker-security/saker/event"
)

// finding is a Security Finding (class 2001) of OCSF, with the columns that Falcosidekick's
// files have.
type finding struct {
	ActivityID   int32        `parquet:"activity_id"`
	ActivityName string       `parquet:"activity_name"`
	CategoryName string       `parquet:"category_name"`
	CategoryUID  int32        `parquet:"category_uid"`
	ClassName    string       `parquet:"classname"`
	ClassUID     int32        `parquet:"class_uid"`
	Finding      details      `parquet:"finding"`
	Message      string       `parquet:"message"`
	Metadata     metadata     `parquet:"metadata"`
	Observables  []observable `parquet:"observables"`
	RawData      string       `parquet:"raw_data"`
	Severity     string       `parquet:"severity"`
	SeverityID   int32        `parquet:"severity_id"`
	State        string       `parquet:"state"`
	StateID      int32        `parquet:"state_id"`
	Status       string       `parquet:"status"`
	Time         int64        `parquet:"time"` // Unix time in ms
	TypeName     string       `parquet:"type_name"`
	TypeUID      int32        `parquet:"type_uid"`
}

type details struct {
	CreatedTime int64    `parquet:"created_time"`
	Desc        string   `parquet:"desc"`
	Title       string   `parquet:"title"`
	Types       []string `parquet:"types"`
	UID         string   `parquet:"uid"`
}

type metadata struct {
	Version string   `parquet:"version"`
	Product product  `parquet:"product"`
	Labels  []string `parquet:"labels"`
}

type product struct {
	VendorName string `parquet:"vendor_name"`
	Name       string `parquet:"name"`
}

type observable struct {
	Name   string `parquet:"name"`
	Type   string `parquet:"type"`
	TypeID int32  `parquet:"type_id"`
	Value  string `parquet:"value"`
}

// payload is the file that the golden files pin: one row for each event.
func payload(events []event.Event) ([]byte, error) {
	rows := make([]finding, len(events))
	for i, e := range events {
		rows[i] = newFinding(e)
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[finding](&file, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("saker", "1", "0"))
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

func newFinding(e event.Event) finding {
	level, known := severities[e.Priority]
	if !known {
		level.name = "Unknown"
	}
	at := e.Time.UnixMilli()
	return finding{
		ActivityID:   1,
		ActivityName: "Generate",
		CategoryName: "Findings",
		CategoryUID:  2,
		ClassName:    "Security Finding",
		ClassUID:     2001,
		Finding:      details{CreatedTime: at, Desc: e.Output, Title: e.Rule, Types: []string{e.Source}, UID: e.UUID},
		Message:      e.Rule,
		Metadata: metadata{
			Version: "0.1.0",
			Product: product{VendorName: "Falcosecurity", Name: "Falco"},
			Labels:  e.Tags,
		},
		Observables: observables(e),
		RawData:     string(e.AppendJSON(nil)),
		Severity:    level.name,
		SeverityID:  level.id,
		State:       "New",
		StateID:     1,
		Status:      e.Priority.String(),
		Time:        at,
		TypeName:    "Security Finding: Generate",
		TypeUID:     200101,
	}
}

// severity is a level of OCSF's.
type severity struct {
	name string
	id   int32
}

var severities = map[event.Priority]severity{
	event.Debug:         {"Informational", 1},
	event.Informational: {"Informational", 1},
	event.Notice:        {"Low", 2},
	event.Warning:       {"Medium", 3},
	event.Error:         {"High", 4},
	event.Critical:      {"Critical", 5},
	event.Alert:         {"Fatal", 6},
	event.Emergency:     {"Fatal", 6},
}

// observables are the host and the fields that are text or a number.
func observables(e event.Event) []observable {
	var all []observable
	add := func(name, value string) { all = append(all, observable{Name: name, Type: "Other", Value: value}) }
	if e.Hostname != "" {
		add("hostname", e.Hostname)
	}
	for _, f := range e.Fields {
		if kind := f.Value.Kind(); kind == event.String || kind == event.Number {
			add(f.Name, f.Value.Text())
		}
	}
	return all
}
