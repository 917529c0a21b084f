// Package ports chooses ports of the loopback interface for processes that are started later, for a benchmark's grids
// and those of tests.
//
// A port that the system chooses and that is closed again may belong to somebody else's connection a moment later: so
// all of these lie below those that systems give away (from 32768 on Linux, 49152 elsewhere). And two processes that
// choose at the same time would choose the same: so each has blocks of its own. A block belongs to who listens at its
// first port, which the system gives to one only, and takes back when that one ends.
package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

const blockSize = 300

// chooser chooses among the ports of its blocks.
type chooser struct {
	first, blocks int // the port of the first block there is, and how many there are

	mu     sync.Mutex
	start  int            // the block that is tried first
	guards []net.Listener // one for each block, open as long as the process lives
	own    []int          // the ports
	next   int            // which of own is tried next: one that was chosen comes back late
}

var process = &chooser{first: 15_000, blocks: 59, start: os.Getpid()}

// Free returns n addresses, 127.0.0.1:port, at which nothing listens, and which no other process is told of as long as this
// one lives.
func Free(n int) ([]string, error) { return process.free(n) }

func (c *chooser) free(n int) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var addresses []string
	for tried := 0; len(addresses) < n; tried++ {
		if tried == len(c.own) { // all of them, or there are none yet
			if err := c.claim(); err != nil {
				return nil, err
			}
			tried = 0
		}
		lis, err := net.Listen("tcp", address(c.own[c.next]))
		c.next = (c.next + 1) % len(c.own)
		if err == nil {
			defer lis.Close() // when all are found, so that none is found twice
			addresses = append(addresses, lis.Addr().String())
		}
	}
	return addresses, nil
}

// claim makes a block that belongs to nobody this chooser's. The lock is held.
func (c *chooser) claim() error {
	var last error
	for i := range c.blocks {
		guarded := c.first + (c.start+i)%c.blocks*blockSize
		guard, err := net.Listen("tcp", address(guarded))
		if err != nil {
			last = err
			continue
		}
		c.guards = append(c.guards, guard)
		c.next = len(c.own)
		for port := guarded + 1; port < guarded+blockSize; port++ {
			c.own = append(c.own, port)
		}
		return nil
	}
	return errors.Join(fmt.Errorf("ports: all blocks of ports from %d to %d are taken", c.first, c.first+c.blocks*blockSize-1), last)
}

func address(port int) string { return fmt.Sprint("127.0.0.1:", port) }
