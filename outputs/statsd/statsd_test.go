package statsd

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	"github.com/saker-security/saker/outputs/internal/statsdx/statsdtest"
)

func Test(t *testing.T) {
	outputstest.Wire{
		Kind:   "statsd",
		Config: "{forwarder: 'ADDR'}",
		Variants: map[string]string{
			"tags": "{forwarder: 'ADDR', namespace: security, tags: ['env:test', team]}",
		},
		Wrong: map[string]string{
			"{}":                                    "forwarder",
			"{forwarder: localhost}":                "must be host:port or unix:///path",
			"{forwarder: 'unix://'}":                "must name a socket",
			"{forwarder: 'ADDR', namespace: 'a:b'}": "namespace",
			"{forwarder: 'ADDR', tags: ['a|b']}":    "must be a tag without",
			"{forwarder: 'ADDR', tags: ['" + strings.Repeat("x", 2000) + "']}": "must be shorter",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			return statsdtest.Serve(t, "udp", "127.0.0.1:0").Peer()
		},
		Datagrams: true,
	}.Run(t)
}
