package main

import (
	"context"
	"fmt"
	"io"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/forwarder/api"
)

type outputsStatus struct{ remote }

func (o *outputsStatus) Run() error {
	return o.asking(func(ctx context.Context, c *client.Client) error {
		var answer api.OutputList
		if err := c.Get(ctx, "/outputs", nil, &answer); err != nil {
			return err
		}
		return o.print(answer, func(w io.Writer) error { return states(w, answer.Outputs) })
	})
}

func states(w io.Writer, all []api.Output) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no output is configured")
		return err
	}
	t := newTable(w, "OUTPUT", "KIND", "STATE", "WAITING", "DELIVERED", "DEAD LETTERS", "FILTERED", "SILENCED", "SUPPRESSED", "LOST", "LAST ERROR")
	for _, o := range all {
		t.line(o.Name, o.Kind, o.State, o.Pending, o.Delivered, o.DeadLetters, o.Filtered, o.Silenced, o.Suppressed, o.Lost, short(o.LastError, 80))
	}
	return t.flush()
}
