// Package config reads the configuration of every part of Saker into typed structs and
// writes all documents that follow from those structs.
//
// A part declares its keys once, as a struct with tags; nothing else lists them. Load
// fills such structs from four layers, each over the one before it:
//
//	default tag < file (YAML or JSON) < environment < --set flags
//
// and refuses a configuration with all its mistakes at once, each with its place, its key
// and its remedy, before anything has started. WriteReference, WriteExample, WriteSchema
// and WriteEnvironment make the documents. In the flow the package stands before
// everything else: the programs load, then build the parts from what was loaded.
//
// # Environment
//
// The variable of a key is its path in upper case with _ for dots and dashes:
// slack.webhookurl is SLACK_WEBHOOKURL, the key footer of the named instance on-call is
// OUTPUTS_ON_CALL_FOOTER. Lists are written a,b and maps a:b,c:d or as a JSON object; both
// replace what the file has. An empty variable is unset. The environment is shared with
// other programs, so that a variable no key has is never a mistake, and the addresses that
// Kubernetes sets for Services (X_PORT=tcp://…) are left alone.
//
// # Tags
//
//	key:"name"         lower-case name of the key. On a struct it opens a sub-section;
//	                   an embedded struct has none and its keys stand beside the others
//	doc:"…"            a sentence for the reference page; every key has one
//	default:"…"        the value's text when nothing is set
//	required:"true"    the section is off without it
//	oneof:"a,b"        the values allowed, in any case; the struct gets this spelling
//	unit:"s"           on a duration: what a bare number counts (s, ms or ns)
//	env:"A,B"          further environment variables, beside the one that follows from
//	                   the key; "-" takes the key out of the environment
//	shared:"aws"       the key stands in that top-level section (aws.region) and is read
//	                   by all that declare it; a named instance may also set it for itself
//	percentenv:"true"  on a map: in the environment, a value %NAME stands for the variable
//	                   NAME
//
// A key's type is string, bool, an integer, float64, time.Duration, Secret, Bytes, any
// type with UnmarshalText, a slice of those, a map from text to those, or a slice of
// structs (which only the file can set). A Secret key has a twin, key_file, that names a
// file to read it from; line ends at its end are dropped.
//
// A struct with a method Validate() error is asked after it has been filled, unless its
// section is off. At says which key an error is about.
package config
