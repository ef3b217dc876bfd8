package statsdx

import (
	"slices"
	"strconv"
	"strings"
)

// prefix is the namespace with its dot.
func (c Config) prefix() string {
	if c.Namespace == "" || strings.HasSuffix(c.Namespace, ".") {
		return c.Namespace
	}
	return c.Namespace + "."
}

// DogStatsD writes labels as tags: falcosidekick.outputs:1|c|#output:slack,status:ok.
func (c Config) DogStatsD() Dialect { return dogStatsD{c} }

type dogStatsD struct{ Config }

func (d dogStatsD) Append(dst []byte, name string, value int64, labels ...string) []byte {
	tags := d.Tags
	for i := 0; i+1 < len(labels); i += 2 {
		tags = append(slices.Clip(tags), labels[i]+":"+tagValue.Replace(labels[i+1]))
	}
	return appendCount(dst, d.prefix()+name, value, tags)
}

// StatsD writes the values of labels into the name: falcosidekick.outputs.slack.ok:1|c.
func (c Config) StatsD() Dialect { return statsD{c} }

type statsD struct{ Config }

func (d statsD) Append(dst []byte, name string, value int64, labels ...string) []byte {
	for i := 0; i+1 < len(labels); i += 2 {
		name += "." + namePart(labels[i+1])
	}
	return appendCount(dst, d.prefix()+name, value, d.Tags)
}

func appendCount(dst []byte, name string, value int64, tags []string) []byte {
	dst = append(append(dst, name...), ':')
	dst = append(strconv.AppendInt(dst, value, 10), "|c"...)
	for i, tag := range tags {
		separator := ","
		if i == 0 {
			separator = "|#"
		}
		dst = append(append(dst, separator...), tag...)
	}
	return append(dst, '\n')
}

// tagValue replaces what would end a tag.
var tagValue = strings.NewReplacer(",", "_", "|", "_", "\n", "_", "\r", "_")

// namePart is a value as a part of a name: without spaces, and with _ for what has a
// meaning in the protocol or to the servers' file systems.
func namePart(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return -1
		case r < ' ' || strings.ContainsRune(`:|@#/\,`, r):
			return '_'
		}
		return r
	}, value)
}
