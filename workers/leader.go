package workers

// leader is in whose name a dispatcher opens a Process stream: that of a term of a cluster. The zero value is a
// dispatcher that does not say.
type leader struct {
	cluster string
	term    uint64
}

// deposed says whether l led before the other did, in the same cluster. Terms of two clusters do not compare: one that was
// restored from a backup, or began with an empty journal, counts from the beginning.
func (l leader) deposed(other leader) bool {
	return l.cluster != "" && l.cluster == other.cluster && l.term < other.term
}
