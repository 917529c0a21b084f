package ports

import (
	"net"
	"strings"
	"testing"
)

// TestNoTwoChooseTheSame: nobody listens between the choices, as between a choice and the start of a process.
func TestNoTwoChooseTheSame(t *testing.T) {
	chosen := map[string]bool{}
	for range 4 {
		c := newChooser(t)
		for range 10 {
			addresses, err := c.free(20)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range addresses {
				if chosen[a] {
					t.Fatalf("%s was chosen twice", a)
				}
				chosen[a] = true
			}
		}
	}
}

func TestAPortThatIsTakenIsNotChosen(t *testing.T) {
	c := newChooser(t)
	first, err := c.free(1)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", first[0])
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if _, err := c.free(blockSize - 2); err != nil { // the others of its block
		t.Fatal(err)
	}
	next, err := c.free(1)
	if err != nil || next[0] == first[0] {
		t.Errorf("at a port that is taken: %s, %v", next, err)
	}
}

func TestMoreThanABlockHas(t *testing.T) {
	c := newChooser(t)
	addresses, err := c.free(blockSize + 1)
	if err != nil || len(addresses) != blockSize+1 || len(c.guards) != 2 {
		t.Errorf("%d addresses of %d blocks, %v; want %d of 2", len(addresses), len(c.guards), err, blockSize+1)
	}
	c = newChooser(t)
	c.first, c.blocks = 14_000, 1 // the others would be missed by other processes
	const want = "all blocks of ports from 14000 to 14299 are taken: listen tcp 127.0.0.1:14000"
	if _, err := c.free(blockSize); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\n", ": "), want) {
		t.Errorf("more than there are: %v, want %s", err, want)
	}
}

// newChooser returns what another process would have.
func newChooser(t *testing.T) *chooser {
	t.Helper()
	c := &chooser{first: process.first, blocks: process.blocks, start: process.start}
	t.Cleanup(func() {
		for _, guard := range c.guards {
			guard.Close()
		}
	})
	return c
}
