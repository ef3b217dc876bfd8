package timescaledb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/saker-security/saker/event"
)

// statement is the INSERT of an event: the columns that all have, then those of the custom
// and templated fields that it has as text.
func statement(table string, fields []string, e event.Event) (text string, values []any) {
	var columns, places []string
	add := func(column string, value any) {
		if s, ok := value.(string); ok {
			value = textOrNull(s)
		}
		values = append(values, value)
		columns = append(columns, column)
		places = append(places, fmt.Sprintf("$%d", len(values)))
	}
	add("time", e.Time)
	add("rule", e.Rule)
	add("priority", e.Priority.String())
	add("source", e.Source)
	add("output", e.Output)
	if len(e.Tags) > 0 {
		add("tags", strings.Join(e.Tags, ","))
	}
	if e.Hostname != "" {
		add("hostname", e.Hostname)
	}
	for _, f := range e.Fields {
		if value, ok := f.Value.Str(); ok && slices.Contains(fields, f.Name) {
			add(identifier(f.Name), strings.ReplaceAll(value, `"`, ""))
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", identifier(strings.Split(table, ".")...),
		strings.Join(columns, ","), strings.Join(places, ",")), values
}

// textOrNull is text as a column takes it: a null byte cannot be stored, and null in any
// case is NULL, as Falcosidekick has it.
func textOrNull(s string) any {
	if strings.EqualFold(s, "null") {
		return nil
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// identifier quotes a name. A name without quotes means its lower case, which is what
// tables made for Falcosidekick have.
func identifier(parts ...string) string {
	lower := make(pgx.Identifier, len(parts))
	for i, p := range parts {
		lower[i] = strings.ToLower(p)
	}
	return lower.Sanitize()
}

// createTable makes the table if there is none.
func createTable(ctx context.Context, pool *pgxpool.Pool, table string, fields []string) error {
	name := identifier(strings.Split(table, ".")...)
	var columns strings.Builder
	columns.WriteString("time timestamptz NOT NULL, rule text, priority text, source text, output text, tags text, hostname text")
	for _, f := range fields {
		columns.WriteString(", " + identifier(f) + " text")
	}
	if _, err := pool.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s)", name, columns.String())); err != nil {
		return err
	}
	var installed bool
	if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')").Scan(&installed); err != nil || !installed {
		return err
	}
	_, err := pool.Exec(ctx, "SELECT create_hypertable($1, 'time', if_not_exists => true)", name)
	return err
}
