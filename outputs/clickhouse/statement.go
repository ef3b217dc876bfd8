package clickhouse

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/saker-security/saker/event"
)

// columns are those of a row, with their types in the table that createtable makes. Their
// names stand in the INSERT, so that a table that lacks one is an error and not a loss.
var columns = [][2]string{
	{"time", "DateTime64(9, 'UTC')"},
	{"uuid", "UUID"},
	{"priority", "LowCardinality(String)"},
	{"rule", "LowCardinality(String)"},
	{"source", "LowCardinality(String)"},
	{"output", "String"},
	{"hostname", "LowCardinality(String)"},
	{"tags", "Array(String)"},
	{"output_fields", "String"},
}

// table is the table's full name.
func table(c Config) string { return "`" + c.Database + "`.`" + c.Table + "`" }

// insert returns the parameters of an INSERT, but for the token. What decides when the
// server answers does not depend on its settings.
func insert(c Config) url.Values {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = column[0]
	}
	query := url.Values{
		"query":                  {"INSERT INTO " + table(c) + " (" + strings.Join(names, ", ") + ") FORMAT JSONEachRow"},
		"async_insert":           {"0"},
		"date_time_input_format": {"best_effort"}, // the other one does not read RFC 3339
	}
	if c.AsyncInsert {
		query.Set("async_insert", "1")
		query.Set("wait_for_async_insert", "1")
		query.Set("async_insert_deduplicate", "1")
	}
	return query
}

// createStatement creates the table. Its last setting lets a table without replicas know
// batches that are sent twice; others do so by themselves.
func createStatement(c Config) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + table(c) + " (")
	for i, column := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(column[0] + " " + column[1])
	}
	b.WriteString(") ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (time, uuid) SETTINGS non_replicated_deduplication_window = 1000")
	return b.String()
}

// timeFormat is RFC 3339 with all digits that the column keeps.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// appendRow appends the event's row and a newline.
func appendRow(dst []byte, e event.Event) []byte {
	dst = append(dst, `{"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, timeFormat)
	dst = append(dst, '"')
	if e.UUID != "" { // the empty text is no UUID; what is missing becomes the zero one
		dst = append(dst, `,"uuid":`...)
		dst = event.AppendJSONString(dst, e.UUID)
	}
	for _, member := range [][2]string{
		{"priority", e.Priority.String()}, {"rule", e.Rule}, {"source", e.Source}, {"output", e.Output}, {"hostname", e.Hostname},
	} {
		dst = append(dst, `,"`+member[0]+`":`...)
		dst = event.AppendJSONString(dst, member[1])
	}
	dst = append(dst, `,"tags":`...)
	dst = event.AppendJSONStrings(dst, e.Tags)
	dst = append(dst, `,"output_fields":`...)
	dst = event.AppendJSONString(dst, event.AppendJSONFields(nil, e.Fields))
	return append(dst, "}\n"...)
}

// token identifies the batch: the same events in the same order have the same one.
func token(batch []event.Event) string {
	sum := sha256.New()
	for _, e := range batch {
		id := []byte(e.UUID)
		if e.UUID == "" {
			id = appendRow(nil, e)
		}
		_, _ = sum.Write(append(id, '\n')) // a sum takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}
