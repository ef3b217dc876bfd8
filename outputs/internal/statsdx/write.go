package statsdx

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/saker-security/saker/outputs/internal/hostx"
)

// flush sends what the host has counted since the last time. What cannot be sent is sent
// the next time. The turn is held.
func (s *Sender) flush(ctx context.Context) {
	s.asked = time.Now()
	now, err := hostx.Read(s.host)
	if err == nil {
		if !s.baselined && !now.Began.IsZero() && s.made.Sub(now.Began) > young {
			s.sent(now)
		}
		s.baselined = true
		if err = s.write(ctx, s.own(now)); err == nil {
			s.sent(now)
		}
	}
	if err != nil && ctx.Err() == nil && !s.complains && s.log != nil {
		s.log.Warn("the forwarder's own counters cannot be sent now; later ones will include them", "error", err)
	}
	s.complains = err != nil
}

func (s *Sender) sent(now hostx.Counters) {
	s.inputs.Sent(now.Inputs)
	s.rejects.Sent(now.Rejections)
	s.outputs.Sent(now.Outputs)
}

// reasons are the names that Falcosidekick has for reasons to reject a request.
var reasons = map[string]string{"method": "nobody", "invalid": "invalidjson"}

// own are the lines for what the host has counted.
func (s *Sender) own(now hostx.Counters) [][]byte {
	var lines [][]byte
	add := func(name string, n int64, labels ...string) {
		lines = append(lines, s.dialect.Append(nil, name, n, labels...))
	}
	var total, accepted int64
	for _, in := range s.inputs.Since(now.Inputs) {
		total += in.Value
		if in.Second == "accepted" {
			accepted += in.Value
		}
	}
	if total > 0 {
		add("total", total)
	}
	for _, why := range s.rejects.Since(now.Rejections) {
		reason := why.First
		if known, ok := reasons[reason]; ok {
			reason = known
		}
		add("inputs.requests.rejected", why.Value, "error", reason)
	}
	if accepted > 0 {
		add("inputs.requests.accepted", accepted)
	}
	for _, out := range s.outputs.Since(now.Outputs) {
		add("outputs", out.Value, "output", out.First, "status", out.Second)
	}
	return lines
}

// write sends lines in as few datagrams as there can be. The turn is held.
func (s *Sender) write(ctx context.Context, lines [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(lines) == 0 {
		return nil
	}
	if err := s.dial(ctx); err != nil {
		return err
	}
	most := maxUDP
	if strings.HasPrefix(s.config.Forwarder, unixScheme) {
		most = maxUnix
	}
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })()
	var datagram []byte
	for i, line := range lines {
		datagram = append(datagram, line...)
		if i+1 < len(lines) && len(datagram)+len(lines[i+1]) <= most {
			continue
		}
		if _, err := s.conn.Write(datagram); err != nil {
			s.hangUp()
			return fmt.Errorf("send counters: %w", err)
		}
		datagram = datagram[:0]
	}
	return nil
}

// dial opens the socket, anew when it is old.
func (s *Sender) dial(ctx context.Context) error {
	if s.conn != nil && time.Since(s.dialled) < redial {
		return nil
	}
	s.hangUp()
	network, address := "udp", s.config.Forwarder
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		network, address = "unixgram", path
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	s.conn, s.dialled = conn, time.Now()
	return nil
}

func (s *Sender) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
