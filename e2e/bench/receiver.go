package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// receiver is an HTTP endpoint that answers each POST with 200 after delay. It understands
// just enough of HTTP for that, so that it takes little of the machine.
type receiver struct {
	listener net.Listener
	delay    time.Duration
	// hang never answers.
	hang bool
	got  atomic.Int64
	// arrived, if not nil, is called with each body.
	arrived func(body []byte)

	mu    sync.Mutex
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

// receive opens a receiver on a free port.
func receive(delay time.Duration, change ...func(*receiver)) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{listener: l, delay: delay, conns: map[net.Conn]bool{}}
	for _, c := range change {
		c(r)
	}
	r.wait.Go(r.accept)
	return r, nil
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() + "/" }

func (r *receiver) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns[c] = true
		r.mu.Unlock()
		r.wait.Go(func() {
			r.serve(c)
			r.mu.Lock()
			delete(r.conns, c)
			r.mu.Unlock()
			_ = c.Close()
		})
	}
}

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

func (r *receiver) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 16<<10)
	var body []byte
	for {
		n, err := contentLength(in)
		if err != nil {
			return
		}
		if cap(body) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := readFull(in, body); err != nil {
			return
		}
		if r.hang {
			_, _ = in.ReadByte() // until the other side gives up
			return
		}
		if r.arrived != nil {
			r.arrived(body)
		}
		if r.delay > 0 {
			time.Sleep(r.delay)
		}
		r.got.Add(1)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// contentLength reads a head and returns the length of the body behind it.
func contentLength(in *bufio.Reader) (int, error) {
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		const key = "Content-Length:"
		if len(line) > len(key) && bytes.EqualFold(line[:len(key)], []byte(key)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(key):]))); err != nil {
				return 0, err
			}
		}
	}
}

func readFull(in *bufio.Reader, to []byte) (n int, err error) {
	for n < len(to) {
		m, err := in.Read(to[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (r *receiver) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wait.Wait()
}
