package discovery

// choice decides where the leading dispatcher is, from what the name services and the dispatchers say. Rules only: it
// does no I/O and knows no clock.
type choice struct {
	given []string // addresses that count while nothing better is known; may be empty

	address string // from the name services; "" while none was announced
	term    uint64 // of address

	hint string // from a dispatcher that does not lead; "" for none
}

// found takes what the name services said last. A higher term is newer than any hint that came before it. A lower one
// counts too: a grid that was started anew, with an empty journal, counts its terms from the beginning. It returns
// whether the leader that was known has been succeeded: then nobody is to wait for an answer of his.
func (c *choice) found(address string, term uint64) (succeeded bool) {
	if term > c.term {
		succeeded = c.term > 0
		c.hint = ""
	}
	c.address, c.term = address, term
	return succeeded
}

// hinted takes the address that a dispatcher names as the leader's. The hint holds until the name services tell of a
// higher term than they do now, or until the connection breaks: the one who gave it knew more than they did. One that
// names nobody ends an earlier hint; and of the given addresses, another is tried first.
func (c *choice) hinted(address string) {
	if address == "" && c.hint == "" && c.address == "" && len(c.given) > 1 {
		c.given = append(c.given[1:len(c.given):len(c.given)], c.given[0])
	}
	c.hint = address
}

// broken says that the connection is lost: whoever was hinted at may be gone.
func (c *choice) broken() { c.hint = "" }

// where returns the addresses to connect to, in the order to try them. None: nothing is known.
func (c *choice) where() []string {
	switch {
	case c.hint != "":
		return []string{c.hint}
	case c.address != "":
		return []string{c.address}
	}
	return c.given
}
