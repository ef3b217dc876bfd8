package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// eventText is one event of the load, 0.8 kB; its number stands where %d is.
const eventText = `{"hostname":"node-1","output":"16:31:56.746609046: Error File below a known binary directory opened for writing (user=root command=touch /bin/hack file=/bin/hack parent=bash pcmdline=bash gparent=sshd container_id=host image=<NA>)","priority":"Error","rule":"Write below binary dir","source":"syscall","tags":["filesystem","mitre_persistence"],"time":"2026-05-17T15:31:56.746609046Z","output_fields":{"bench.number":%d,"evt.time":1507591916746609046,"fd.name":"/bin/hack","k8s.ns.name":"ns1","k8s.pod.name":"pod-12345","proc.aname[2]":"sshd","proc.cmdline":"touch /bin/hack","proc.pid":1234,"user.name":"root","container.id":"abcdef123456"}}`

// load is a stream of requests.
type load struct {
	address string
	clients int
	// events in all, batch of them in each request.
	events, batch int
	// rate is how many events a second are sent; 0 is as many as are taken.
	rate int
	// sent, if not nil, is called with an event's number just before it is sent.
	sent func(number int)
	// ahead, if not nil, returns how many events may be sent now; the senders wait for it.
	ahead func() int64
}

// send sends the load and returns how long that took.
func (l load) send(ctx context.Context) (time.Duration, error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, l.clients)
	start := time.Now()
	for i := range l.clients {
		wait.Go(func() { errs[i] = l.client(ctx, &next, start) })
	}
	wait.Wait()
	return time.Since(start), errors.Join(errs...)
}

func (l load) client(ctx context.Context, next *atomic.Int64, start time.Time) error {
	c, err := net.Dial("tcp", l.address)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	var body, request []byte
	for ctx.Err() == nil {
		first := int(next.Add(int64(l.batch))) - l.batch
		if first >= l.events {
			return nil
		}
		for l.ahead != nil && int64(first) > l.ahead() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if l.rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(first) * time.Second / time.Duration(l.rate))))
		}
		body = body[:0]
		for number := first; number < first+l.batch; number++ {
			body = appendEvent(body, number)
		}
		request = append(request[:0], "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "...)
		request = strconv.AppendInt(request, int64(len(body)), 10)
		request = append(append(request, "\r\n\r\n"...), body...)
		if l.sent != nil {
			l.sent(first)
		}
		if err := roundTrip(c, in, request); err != nil {
			return err
		}
	}
	return ctx.Err()
}

var eventParts = strings.SplitN(eventText, "%d", 2)

func appendEvent(to []byte, number int) []byte {
	to = append(to, eventParts[0]...)
	to = strconv.AppendInt(to, int64(number), 10)
	return append(append(to, eventParts[1]...), '\n')
}

// numberOf returns an event's number.
func numberOf(body []byte) (int, bool) {
	_, rest, ok := bytes.Cut(body, []byte(`"bench.number":`))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(string(rest[:end]))
	return n, err == nil
}

func roundTrip(c net.Conn, in *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.Contains(status, []byte(" 200 ")) {
		return fmt.Errorf("the forwarder answers %q", bytes.TrimSpace(status))
	}
	n, err := contentLength(in)
	if err != nil {
		return err
	}
	_, err = in.Discard(n)
	return err
}
