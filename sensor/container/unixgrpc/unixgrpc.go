// Package unixgrpc connects to runtimes that speak gRPC over a Unix socket: containerd and
// CRI-O. It bounds what a runtime may answer.
package unixgrpc

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// MaxAnswer is how many bytes one answer may have; a longer one is an error.
const MaxAnswer = 16 << 20

// Dial returns a connection to the server behind the socket. It connects with the first call.
func Dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///runtime",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxAnswer)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	)
}
