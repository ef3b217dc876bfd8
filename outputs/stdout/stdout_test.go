package stdout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestLinesMatchTheGoldenFiles(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var got []byte
		for _, f := range outputstest.Events() {
			before := len(got)
			got = appendLine(got, format, f.Event)
			if n := bytes.Count(got[before:], []byte("\n")); n != 1 {
				t.Errorf("%s as %s has %d lines, want 1", f.Name, format, n)
			}
			if len(got)-before > 8<<10 {
				got = append(got[:before], "a long line\n"...)
			}
		}
		outputstest.Golden(t, "testdata/"+format+".golden", string(got))
	}
	outputstest.Golden(t, "testdata/payload.golden", "-- plain --\n"+string(appendLine(nil, "json", outputstest.Plain())))
}

func TestConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"{enabled: true}":                "",
		"{enabled: true, format: text}":  "",
		"{}":                             "enabled",
		"{enabled: maybe}":               "enabled",
		"{enabled: true, format: table}": "must be one of json, text",
	} {
		_, err := outputstest.New("stdout", text, outputstest.Env(t))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestConcurrentSendsDoNotMixTheirLines(t *testing.T) {
	outputstest.NoLeak(t)
	var out bytes.Buffer
	shared := newLines(&out)
	var want []byte
	for _, f := range outputstest.Events() {
		want = appendLine(want, "json", f.Event)
	}
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	var senders sync.WaitGroup
	const n = 8
	for range n {
		senders.Go(func() {
			if err := (&sender{"json", shared}).Send(t.Context(), batch); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if !bytes.Equal(out.Bytes(), bytes.Repeat(want, n)) {
		t.Error("the output is not the batch again and again")
	}
}

func TestAReaderThatDoesNotReadHoldsUpNobodyForLongerThanTheirContext(t *testing.T) {
	outputstest.NoLeak(t)
	reader, writer := io.Pipe()
	s := &sender{"text", newLines(writer)}
	batch := []event.Event{outputstest.Plain()}
	for range 3 { // the first is stuck in its write, the others wait for their turn
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Send(ctx, batch) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's end", err)
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), batch); !errors.Is(err, io.ErrClosedPipe) || outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a reader Send returned %v", err)
	}
}
