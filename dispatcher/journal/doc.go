// Package journal keeps a durable, replicated log of records on hashicorp/raft, and drives the state machine that
// they change. It knows nothing of tasks.
//
// # The way of a record
//
// Propose appends it to the entry in the making, a piece of memory. A sender hands entries to raft, at most
// maxInFlight at a time; while the disk is busy with one, the next grows: this is the group commit. raft writes the
// entry to the log (raft-wal, one write and one fsync), sends it to the followers, and calls it committed when a
// majority has it on disk. Then the state machine applies its records, and each call hears its results.
//
// # Sessions: what is proposed under one leadership cannot count under another
//
// A proposal rests on what its proposer saw. When leadership was lost and won again in between, others may have
// changed the state, and the proposal must not count, even when it still sits in some queue. So each leadership begins
// with an opening entry, whose application is also the proof that everything committed before has been applied here.
// Every further entry names that session and its number in it; one with another session, or after a gap, changes
// nothing, on any replica. See machine.
//
// # What is on disk
//
//	LOCK          held by the process that uses the directory
//	journal.json  whose directory it is; its absence means: begin here
//	wal/          the log: files of segmentBytes, their list and raft's vote (wal-meta.db), and the mark
//	snapshots/    the newest state, one file
//
// Every entry and every part of a snapshot is under a checksum that is tested whenever it is read. What raft-wal
// does by itself and what is added:
//   - The last write was cut short by a crash: it was not acknowledged, and is dropped.
//   - The log ends before the mark, because a file was cut or its end damaged later: Open is refused.
//   - An entry in the middle is damaged: Run is refused before anything is applied.
//   - A snapshot is damaged: Open or Run is refused, naming the file.
//   - A write fails: nobody knows what the disk holds, Run ends with an error, and nothing is acknowledged any more.
//
// Not noticed: damage to the very last writes within the seconds before a machine lost power, when the mark was not
// on disk yet either.
//
// # How large it gets
//
// A snapshot is taken when as much was appended as the last one is large, or Config.SnapshotBytes if that is more; the
// log before it is given back. So the directory holds at most about two snapshots (the old one goes when the new one
// is there), a log of the same size or SnapshotBytes, and two log files.
package journal
