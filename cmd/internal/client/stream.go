package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxLine is the most bytes of a line in a stream: an event, escaped, and what is around it.
const maxLine = 8 << 20

// Frame is one message of a stream of server-sent events.
type Frame struct {
	// ID is where a stream goes on after this one, Event the kind of message.
	ID, Event string
	Data      []byte
}

// Stream follows the stream at a path of the API and calls each with every message, until
// ctx ends, the server ends the stream (which is io.EOF) or each returns an error.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, each func(Frame) error) error {
	resp, err := c.do(ctx, http.MethodGet, "/api/v2"+path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return refusal(resp)
	}
	err = frames(resp.Body, each)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// frames reads messages in the event-stream format.
func frames(r io.Reader, each func(Frame) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var f Frame
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if len(f.Data) > 0 {
				if err := each(f); err != nil {
					return err
				}
			}
			f = Frame{ID: f.ID}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			f.ID = value
		case "event":
			f.Event = value
		case "data":
			if len(f.Data)+len(value) > maxLine {
				return fmt.Errorf("a message of the stream is larger than %d bytes", maxLine)
			}
			if len(f.Data) > 0 {
				f.Data = append(f.Data, '\n')
			}
			f.Data = append(f.Data, value...)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("a line of the stream is larger than %d bytes", maxLine)
		}
		return err
	}
	return io.EOF
}
