package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// syncInterval is how often what was written is forced to the disk when sync is
	// interval: the most that a power cut can take.
	syncInterval = 10 * time.Second
	// startTimeout bounds how long the server may take until it accepts a connection, once
	// it has recovered its files.
	startTimeout  = 30 * time.Second
	reconnectWait = 50 * time.Millisecond
	// maxPayload is the most bytes of a message: a dead letter with an event of the largest
	// size in it, escaped once more, is the largest.
	maxPayload = 8 << 20
)

// broker is the NATS server inside the process, and the lock on its folder. It can be
// restarted; connections come back by themselves because they ask it for a new one.
type broker struct {
	dir        string
	syncAlways bool
	log        *slog.Logger
	lock       *os.File

	mu  sync.Mutex
	ns  *server.Server // nil while it is down
	out *serverLog     // of ns
}

func startBroker(dir string, syncAlways bool, log *slog.Logger) (*broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	b := &broker{dir: dir, syncAlways: syncAlways, log: log, lock: lock}
	if err := b.start(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return b, nil
}

// lockFolder takes the lock that the kernel gives back when the process ends, however it
// ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = journal.ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// start runs a server on the folder.
func (b *broker) start() error {
	logger := &serverLog{log: b.log, alarm: make(chan struct{})}
	ns, err := server.NewServer(&server.Options{
		ServerName: "saker", DontListen: true, NoSigs: true, NoLog: true,
		DisableJetStreamBanner: true, MaxPayload: maxPayload,
		JetStream: true, StoreDir: b.dir,
		SyncAlways: b.syncAlways, SyncInterval: syncInterval,
		// The streams have limits of their own. A limit here would keep a journal that was
		// larger before from opening.
		JetStreamMaxStore: math.MaxInt64 / 2, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		return fmt.Errorf("start the log: %w", err)
	}
	ns.SetLoggerV2(logger, false, false, false)
	ns.Start()
	// A server that cannot start says so and comes back; it is never ready then.
	if logger.fatal.Load() != nil || !ns.JetStreamEnabled() || !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return fmt.Errorf("start the log: %w", logger.reason())
	}
	b.mu.Lock()
	b.ns, b.out = ns, logger
	b.mu.Unlock()
	return nil
}

// stop ends the server and waits until its files are closed.
func (b *broker) stop() {
	b.mu.Lock()
	ns := b.ns
	b.ns = nil
	b.mu.Unlock()
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// close ends the server and gives the folder back.
func (b *broker) close() error {
	b.stop()
	return b.lock.Close()
}

// InProcessConn gives the client library a connection to the server.
func (b *broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ns == nil {
		return nil, errors.New("the log is down")
	}
	return b.ns.InProcessConn()
}

// alarm is closed when the server that runs now reports something grave.
func (b *broker) alarm() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.alarm
}

// serverLog hands the server's remarks to our log, one level lower where they are of no
// use to an operator, and keeps the last grave one to explain a failed start.
type serverLog struct {
	log   *slog.Logger
	grave atomic.Pointer[string]
	fatal atomic.Pointer[string] // why it cannot start
	alarm chan struct{}          // closed with the first grave remark
}

func (l *serverLog) reason() error {
	if s := cmp.Or(l.fatal.Load(), l.grave.Load()); s != nil {
		return errors.New(*s)
	}
	return errors.New("the server didn't come up in time")
}

func (l *serverLog) at(level slog.Level, format string, v []any) string {
	text := strings.TrimSpace(fmt.Sprintf(format, v...))
	l.log.Log(context.Background(), level, "journal server", "message", text)
	return text
}

// The methods of server.Logger.

func (l *serverLog) Noticef(format string, v ...any) { l.at(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.at(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.at(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.at(slog.LevelWarn, format, v) }

func (l *serverLog) Errorf(format string, v ...any) { l.note(format, v) }

// note keeps a grave remark.
func (l *serverLog) note(format string, v []any) *string {
	text := l.at(slog.LevelError, format, v)
	if l.grave.Swap(&text) == nil {
		close(l.alarm)
	}
	return &text
}

// Fatalf doesn't end the process: start sees it and gives up.
func (l *serverLog) Fatalf(format string, v ...any) { l.fatal.Store(l.note(format, v)) }
