package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration, or one remark about it, with its place. Of
// File, Variable and Flag at most one is set: the layer that the mistake is in.
type Problem struct {
	File string
	// Line and Column count from 1; 0 when the mistake has no place in the file.
	Line, Column int
	// Variable is the environment variable.
	Variable string
	// Flag is the key given with --set.
	Flag string
	// Key is the path of the key or section.
	Key string
	// Message says what is wrong and what would be right. It never holds a secret.
	Message string

	order int // of the flag
	// named says that the key has to be named beside the variable or flag.
	named bool
}

// Error returns "file:line: key: message", "environment NAME: message", "--set key:
// message" or "key: message". A key that is not the variable's or flag's own is named too.
func (p Problem) Error() string {
	text := p.Message
	if p.Key != "" && (p.named || p.Variable == "" && p.Flag == "") {
		text = p.Key + ": " + text
	}
	switch {
	case p.Variable != "":
		return fmt.Sprintf("environment %s: %s", p.Variable, text)
	case p.Flag != "":
		return fmt.Sprintf("--set %s: %s", p.Flag, text)
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	default:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
	}
}

// Problems is the error of Load: all mistakes, those in the file first and in its order,
// then those of environment variables by name, then those of flags in their order.
type Problems []Problem

// Error returns one problem a line.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, problem := range p {
		lines = append(lines, problem.Error())
	}
	return strings.Join(lines, "\n")
}

// sort orders problems as Problems promises and drops those that say the same.
func (p Problems) sort() Problems {
	layer := func(x Problem) int {
		switch {
		case x.File != "":
			return 0
		case x.Variable != "":
			return 1
		case x.Flag != "":
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(layer(a), layer(b)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Variable, b.Variable), cmp.Compare(a.order, b.order),
		)
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(p, func(x Problem) bool {
		text := x.Error()
		twice := seen[text]
		seen[text] = true
		return twice
	})
}

// At says that err is about the key below the struct whose Validate method returns it, so
// that the message shows where that key was set. errors.Join joins several.
func At(key string, err error) error {
	if err == nil {
		return nil
	}
	return &keyError{key, err}
}

type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return e.key + ": " + e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// causes lists what a Validate method returned, each with the key it is about. What
// errors.Join has joined is taken apart.
func causes(err error) []keyError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []keyError
		var texts []string
		for _, e := range joined.Unwrap() {
			all = append(all, causes(e)...)
			texts = append(texts, e.Error())
		}
		if strings.Join(texts, "\n") == err.Error() {
			return all
		}
	}
	e, ok := errors.AsType[*keyError](err)
	if !ok {
		return []keyError{{"", err}}
	}
	inner := causes(e.err)
	for i := range inner {
		inner[i].key = join(e.key, inner[i].key)
	}
	return inner
}
