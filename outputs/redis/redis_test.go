package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const password = "s3cret1"

// server speaks as much of Redis's protocol as a writer needs, and records the commands.
// The real server is in real_test.go.
type server struct {
	address  string
	received chan string
	stop     func()

	mu     sync.Mutex
	answer func(command []string) string // "" for what Redis answers
}

func serve(t *testing.T) *server {
	t.Helper()
	return serveAt(t, "127.0.0.1:0")
}

func serveAt(t *testing.T, address string) *server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: l.Addr().String(), received: make(chan string, 2000)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				s.talk(c)
			})
		}
	})
	s.stop = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) talk(c net.Conn) {
	r := bufio.NewReader(c)
	loggedIn := false
	for {
		command, err := read(r)
		if err != nil {
			return
		}
		reply := ""
		s.mu.Lock()
		if s.answer != nil {
			reply = s.answer(command)
		}
		s.mu.Unlock()
		name := strings.ToUpper(command[0])
		switch {
		case reply != "":
		case name == "HELLO":
			loggedIn = len(command) == 5 && command[4] == password
			reply = "%1\r\n+proto\r\n:3\r\n"
			if !loggedIn {
				reply = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
			}
		case !loggedIn:
			reply = "-NOAUTH Authentication required.\r\n"
		case name == "RPUSH", name == "HSET":
			reply = ":1\r\n"
		case name == "XADD":
			reply = "$3\r\n1-1\r\n"
		default:
			reply = "+OK\r\n"
		}
		if name == "RPUSH" || name == "HSET" || name == "XADD" {
			s.received <- strings.Join(command, " ") + "\n"
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// read reads one command.
func read(r *bufio.Reader) ([]string, error) {
	number := func(sign string) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		text, ok := strings.CutPrefix(strings.TrimSpace(line), sign)
		if !ok {
			return 0, errors.New("not the protocol")
		}
		return strconv.Atoi(text)
	}
	n, err := number("*")
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := number("$")
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:size])
	}
	return command, nil
}

func (s *server) take(t *testing.T, n int) string {
	t.Helper()
	var all strings.Builder
	timeout := time.After(20 * time.Second)
	for range n {
		select {
		case m := <-s.received:
			all.WriteString(m)
		case <-timeout:
			t.Fatalf("waited too long for %d commands", n)
		}
	}
	return all.String()
}

func open(t *testing.T, text string) outputs.Sender {
	t.Helper()
	sender, err := outputstest.New("redis", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return sender
}

var one = []event.Event{outputstest.Plain()}

func Test(t *testing.T) {
	outputstest.Wire{
		Kind:   "redis",
		Config: "{address: ADDR, password: s3cret1}",
		Secret: password,
		Variants: map[string]string{
			"hashmap": "{address: ADDR, username: saker, password: s3cret1, storagetype: HashMap, key: events}",
			"stream":  "{address: ADDR, password: s3cret1, storagetype: stream, maxlength: 1000}",
			"capped":  "{address: ADDR, password: s3cret1, maxlength: 1000, database: 3}",
		},
		Wrong: map[string]string{
			"{}":                                  "address",
			"{address: localhost}":                "must be host:port",
			"{address: 'redis://s3cret1@ADDR/0'}": "must be host:port",
			"{address: ADDR, storagetype: set}":   "must be one of list, hashmap, stream",
			"{address: ADDR, key: ''}":            "key",
			"{address: ADDR, database: -1}":       "database: must be at least 0",
			"{address: 'ADDR,ADDR', database: 1}": "database: must be 0 for a cluster",
			"{address: ADDR, maxlength: -1}":      "maxlength",
			"{address: ADDR, username: s3cret1}":  "password: is required with username",
			"{address: ADDR, cacertfile: /no/ca}": "/no/ca",
			"{address: ADDR, mutualtls: true}":    "client certificate",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			s := serve(t)
			return outputstest.Peer{Address: s.address, Take: s.take}
		},
	}.Run(t)
}

func TestAWrongPasswordIsHeldAndNotShown(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t)
	err := open(t, fmt.Sprintf("{address: '%s', password: wr0ng}", s.address)).Send(t.Context(), one)
	if !outputs.Held(err) {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecretIn(t, "wr0ng", err)
}

func TestEachCommandHasItsOutcome(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t)
	sender := open(t, fmt.Sprintf("{address: '%s', password: %s}", s.address, password))
	for answer, want := range map[string]outputstest.Outcome{
		"-NOPERM User saker has no permissions to run the 'rpush' command":   outputstest.Held,
		"-WRONGTYPE Operation against a key holding the wrong kind of value": outputstest.Held,
		"-OOM command not allowed when used memory > 'maxmemory'.":           outputstest.NotNow,
		"-READONLY You can't write against a read only replica.":             outputstest.NotNow,
		"-MISCONF Redis is configured to save RDB snapshots":                 outputstest.NotNow,
		"-LOADING Redis is loading the dataset in memory":                    outputstest.NotNow,
		"-CLUSTERDOWN The cluster is down":                                   outputstest.NotNow,
		"-ERR something that nobody has seen before":                         outputstest.NotNow,
	} {
		n := 0
		s.mu.Lock()
		s.answer = func(command []string) string {
			if command[0] != "rpush" {
				return ""
			}
			if n++; n == 2 {
				return answer + "\r\n"
			}
			return ""
		}
		s.mu.Unlock()
		failed, ok := errors.AsType[outputs.Partial](sender.Send(t.Context(), []event.Event{outputstest.Plain(), outputstest.Plain()}))
		if !ok || len(failed) != 1 || outputstest.OutcomeOf(failed[1]) != want {
			t.Errorf("%s: got %v, want the second %s", answer, failed, want)
		}
	}
}

func TestAListThatCannotBeCutIsWrittenAllTheSame(t *testing.T) {
	outputstest.NoLeak(t)
	s := serve(t)
	s.answer = func(command []string) string {
		if command[0] == "ltrim" {
			return "-NOPERM User saker has no permissions to run the 'ltrim' command\r\n"
		}
		return ""
	}
	var log strings.Builder
	env := outputstest.Env(t)
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	sender, err := outputstest.New("redis", fmt.Sprintf("{address: '%s', password: %s, maxlength: 5}", s.address, password), env)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	for range 2 {
		if err := sender.Send(t.Context(), one); err != nil {
			t.Errorf("the events are tried again although they are there: %v", err)
		}
	}
	if n := strings.Count(log.String(), "cannot be cut"); n != 1 {
		t.Errorf("it was said %d times: %s", n, log.String())
	}
}

func TestTheConnectionComesBackAfterTheServerWasAway(t *testing.T) {
	outputstest.NoLeak(t)
	first := serve(t)
	sender := open(t, fmt.Sprintf("{address: '%s', password: %s}", first.address, password))
	if err := sender.Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	first.stop()
	if err := sender.Send(t.Context(), one); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a server: got %v", err)
	}
	second := serveAt(t, first.address)
	if err := sender.Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	second.take(t, 1)
}
