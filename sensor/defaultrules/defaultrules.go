// Package defaultrules holds the rules that Saker ships: the sensor holds events against
// them unless its configuration names other files. They are written in Falco's rules
// language, which package rules implements.
package defaultrules

import _ "embed"

// Name is the file name that errors and listings show for the embedded rules.
const Name = "saker_rules.yaml"

// YAML is the rules file.
//
//go:embed saker_rules.yaml
var YAML []byte

// AuditName is the file name of the embedded rules on Kubernetes audit events.
const AuditName = "saker_k8s_audit_rules.yaml"

// AuditYAML is the rules file on Kubernetes audit events.
//
//go:embed saker_k8s_audit_rules.yaml
var AuditYAML []byte
