package main

import (
	"strings"
	"testing"
)

func TestTextForATerminalHoldsNoCommandForIt(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcödé 🦅":  "plain, ünïcödé 🦅",
		"two\nlines\tand\r": "two lines and ",
		"\x1b[2Jgone":       "�[2Jgone",
		"c1 \u009b31m":      "c1 �31m",
		"bad \xff utf-8":    "bad � utf-8",
		"turned \u202eback": "turned �back",
		"para\u2029graph":   "para�graph",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
	if got := cleanLines("a\n  \x1bb"); got != "a\n  �b" {
		t.Errorf("lines become %q", got)
	}
}

func TestATableShowsEmptyCellsAndStaysOnItsLines(t *testing.T) {
	var b strings.Builder
	tab := newTable(&b, "NAME", "VALUE", "LAST")
	tab.line("a\nb", "", 3)
	tab.line("long name", "x", 4)
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	want := "NAME       VALUE  LAST\na b        -      3\nlong name  x      4\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	if got := short("äöüß", 3); got != "äö…" {
		t.Errorf("got %q", got)
	}
	if got := short("äöü", 3); got != "äöü" {
		t.Errorf("got %q", got)
	}
}
