package elasticsearch

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// fault is an error as the cluster describes it.
type fault struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy *fault `json:"caused_by"`
}

// UnmarshalJSON takes an error in any form; one that is no object, as old clusters and
// proxies have it, is nothing more than a reason.
func (f *fault) UnmarshalJSON(text []byte) error {
	type plain fault
	var p plain
	if json.Unmarshal(text, &p) != nil {
		p = plain{Reason: string(text)}
	}
	*f = fault(p)
	return nil
}

// text is the fault with its cause, which often is what helps.
func (f fault) text() string {
	text := f.Reason
	if f.Type != "" {
		text = f.Type + ": " + f.Reason
	}
	if f.CausedBy != nil && f.CausedBy.Reason != "" && f.CausedBy.Reason != f.Reason {
		text += " (" + f.CausedBy.Reason + ")"
	}
	return text
}

var (
	parseFaults = []string{"document_parsing_exception", "mapper_parsing_exception"}
	fieldInText = regexp.MustCompile(`\[output_fields\.([^\]]+)\]`)
)

// field is the output field that the cluster could not take, "" if it names none.
func (f fault) field() string {
	if !slices.Contains(parseFaults, f.Type) {
		return ""
	}
	m := fieldInText.FindStringSubmatch(f.Reason)
	if m == nil {
		return ""
	}
	return m[1]
}

// clusterFaults are types of errors that come with the status 400 and are not the
// document's fault: the index is closed, its name is wrong, there are too many shards.
var clusterFaults = []string{"index_closed_exception", "invalid_index_name_exception", "validation_exception"}

// clusterReasons are the beginnings of such reasons where the type says less: there is no
// such pipeline, an alias has no index to write to, bulk requests must not name an index, a
// data stream has no template.
var clusterReasons = []string{
	"pipeline with id", "no write index is defined", "explicit index in bulk", "no matching index template found",
}

// conflict reports whether the document could not be created because it exists.
func (f fault) conflict() bool {
	return f.Type == "" || f.Type == "version_conflict_engine_exception" || f.Type == "document_already_exists_exception"
}

// ofCluster reports whether somebody has to mend the cluster or the configuration.
func (f fault) ofCluster() bool {
	if slices.Contains(clusterFaults, f.Type) {
		return true
	}
	return slices.ContainsFunc(clusterReasons, func(start string) bool { return strings.HasPrefix(f.Reason, start) })
}
