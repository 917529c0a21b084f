package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// greeting is what two nodes say to each other at the beginning of a connection, before raft does: who they are, and whom
// they take the other for. The one who dialled speaks first.
type greeting struct {
	Replica
	Cluster string `json:"cluster,omitempty"` // "" for a node that has not heard of one yet
	Format  int    `json:"format,omitempty"`  // newest format of entries that its log may hold
	Applied uint64 `json:"applied,omitempty"` // newest entry that it has applied
	To      string `json:"to,omitempty"`      // the id of the node that is dialled
	Refused string `json:"refused,omitempty"` // in an answer: why not
}

const (
	// greetingTimeout bounds how long the other may take to greet.
	greetingTimeout = 3 * time.Second
	maxGreeting     = 16 << 10
)

// judge returns in words why a node that greets so must not be talked to; "" when it may. members are raft's.
func judge(own, other greeting, known roll, members []Peer) string {
	switch {
	case own.Cluster != "" && other.Cluster != "" && own.Cluster != other.Cluster:
		return fmt.Sprintf("%s belongs to cluster %s, %s to cluster %s: one of them has the data directory or the --peers of another cluster",
			other.ID, other.Cluster, own.ID, own.Cluster)
	case other.ID == own.ID:
		return fmt.Sprintf("two nodes are called %s: give each an --id of its own", own.ID)
	case other.To != "" && other.To != own.ID:
		return fmt.Sprintf("%s looks for %s here, but this is %s: an address in --peers, or one given to taskgrid raft add, is wrong", other.ID, other.To, own.ID)
	case isMember(members, other.ID) && known.foreign(other.Replica):
		return fmt.Sprintf("%s comes with another data directory than it had: if its disk was lost, say so with taskgrid raft remove %s, and it enters anew", other.ID, other.ID)
	case other.Reads < known.Format:
		return fmt.Sprintf("%s (version %s) reads entries up to format %d, this cluster writes format %d: start it with a newer version",
			other.ID, other.Version, other.Reads, known.Format)
	}
	return ""
}

func isMember(members []Peer, id string) bool {
	for _, m := range members {
		if m.ID == id {
			return true
		}
	}
	return false
}

// greeter is a raft.StreamLayer on which each connection begins with greetings.
type greeter struct {
	raft.StreamLayer
	j *Journal
}

// Accept implements net.Listener. The greetings are exchanged with the first Read, which raft calls on a goroutine of the
// connection's own.
func (g *greeter) Accept() (net.Conn, error) {
	c, err := g.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: c, j: g.j}, nil
}

// Dial implements raft.StreamLayer.
func (g *greeter) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := g.StreamLayer.Dial(to, timeout)
	if err != nil {
		return nil, err
	}
	if _, err := g.j.greet(c, g.j.memberAt(string(to))); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// greeted is a connection that another node has opened.
type greeted struct {
	net.Conn
	j    *Journal
	once sync.Once
	err  error
}

// Read implements net.Conn.
func (c *greeted) Read(p []byte) (int, error) {
	c.once.Do(func() { c.err = c.j.answer(c.Conn) })
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// greet begins a connection that this node has opened to the node called to, "" when its name is not known.
func (j *Journal) greet(c net.Conn, to string) (greeting, error) {
	if err := c.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return greeting{}, err
	}
	own := j.greeting()
	own.To = to
	if err := writeGreeting(c, own); err != nil {
		return greeting{}, err
	}
	other, err := readGreeting(c)
	if err != nil {
		return greeting{}, err
	}
	why := other.Refused
	if why == "" {
		why = judge(own, other, j.machine.known(), j.members())
	}
	j.complaints.note(j.cfg.Logger, c.RemoteAddr().String(), why)
	if why != "" {
		return other, fmt.Errorf("journal: %s: %s", c.RemoteAddr(), why)
	}
	j.meetings.add(other.Replica)
	return other, c.SetDeadline(time.Time{})
}

// answer begins a connection that another node has opened.
func (j *Journal) answer(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return err
	}
	other, err := readGreeting(c)
	if err != nil {
		return err
	}
	own := j.greeting()
	own.To = other.ID
	own.Refused = judge(own, other, j.machine.known(), j.members())
	j.complaints.note(j.cfg.Logger, other.ID, own.Refused)
	if err := writeGreeting(c, own); err != nil {
		return err
	}
	if own.Refused != "" {
		return fmt.Errorf("journal: %s", own.Refused)
	}
	j.meetings.add(other.Replica)
	return c.SetDeadline(time.Time{})
}

// A greeting is 4 bytes of length, big endian, and that many bytes of JSON: a later version may say more.

func writeGreeting(w io.Writer, g greeting) error {
	content, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
	return err
}

func readGreeting(r io.Reader) (g greeting, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return g, fmt.Errorf("journal: no greeting: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxGreeting {
		return g, fmt.Errorf("journal: a greeting of %d bytes: that is no dispatcher's raft port", n)
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(r, content); err != nil {
		return g, fmt.Errorf("journal: no greeting: %w", err)
	}
	if err := json.Unmarshal(content, &g); err != nil {
		return g, fmt.Errorf("journal: greeting: %w", err)
	}
	return g, nil
}
