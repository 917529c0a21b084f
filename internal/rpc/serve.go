package rpc

import (
	"net"

	"taskgrid/internal/bounded"
)

// maxConnections bounds the connections of a server, when the process may have so many files open: else it is three
// quarters of those. It holds 10,000 watchers with a connection each.
const maxConnections = 20_000

// Serve is grpc.Server's, with a bound on the connections.
func (s *Server) Serve(lis net.Listener) error {
	most := bounded.Files(maxConnections*4/3) * 3 / 4
	return s.Server.Serve(bounded.Listen(lis, most, setUserTimeout))
}
