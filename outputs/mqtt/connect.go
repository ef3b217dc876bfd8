package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
)

// protocol is MQTT 3.1.1.
const protocol = 4

// writeTimeout is how long the broker may leave what is written to it unread.
const writeTimeout = 5 * time.Second

// connect makes a connection if there is none.
func (s *sender) connect(ctx context.Context) error {
	if s.client != nil && s.client.IsConnectionOpen() {
		return nil
	}
	s.drop()
	broker, err := s.broker()
	if err != nil {
		return err
	}
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{broker}
	o.SetClientID(s.id)
	o.SetProtocolVersion(protocol)
	o.SetAutoReconnect(false)
	o.SetWriteTimeout(writeTimeout)
	o.SetConnectTimeout(dialx.Timeout)
	if s.User != "" {
		o.SetUsername(s.User)
		o.SetPassword(s.Password.Reveal())
	}
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) { return s.open(ctx, u) })
	client := mqtt.NewClient(o)
	if err := wait(ctx, client.Connect()); err != nil {
		s.session.Cut()
		return connectError(ctx, err)
	}
	s.client = client
	return nil
}

// drop ends the connection, however it is. It is cut first, because the client waits for
// what it still writes.
func (s *sender) drop() {
	s.session.Cut()
	if s.client != nil {
		s.client.Disconnect(0)
	}
	s.client = nil
}

// open opens the connection below MQTT.
func (s *sender) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	switch {
	case u.Scheme == "unix":
		return s.session.Dial(ctx, "unix", u.Host+u.Path)
	case u.Scheme == "ws" || u.Scheme == "wss":
		return s.openWebSocket(ctx, u)
	}
	c, err := s.session.Dial(ctx, "tcp", u.Host)
	if err != nil || plain[u.Scheme] {
		return c, err
	}
	secured := tls.Client(c, s.tls.ConfigFor(u.Hostname()))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

func (s *sender) openWebSocket(ctx context.Context, u *url.URL) (net.Conn, error) {
	address := *u
	address.User = nil // it is for MQTT, not for HTTP
	c, err := mqtt.NewWebsocket(address.String(), s.tls.Config(), dialx.Timeout, nil, nil)
	if err != nil {
		return nil, err
	}
	c = s.session.Adopt(c)
	if err := ctx.Err(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// connectError classes an error of connecting: what the broker says of who we are waits
// for somebody to mend it.
func connectError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("connect to MQTT: %w", ended)
	}
	err = fmt.Errorf("connect to MQTT: %w", err)
	for _, held := range []error{
		packets.ErrorRefusedBadUsernameOrPassword, packets.ErrorRefusedNotAuthorised,
		packets.ErrorRefusedIDRejected, packets.ErrorRefusedBadProtocolVersion,
	} {
		if errors.Is(err, held) {
			return outputs.Hold(err)
		}
	}
	return err
}
