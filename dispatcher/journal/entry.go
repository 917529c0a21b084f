package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// entryVersion is the newest format of entries that this program reads and writes; it reads all before it too. It is
// the first byte of each entry, so that a later format can be told apart before anything else is read. A leader writes
// the newest that all members read: see Journal.writes.
const entryVersion = 1

// What an entry is for.
const (
	kindOpening = 1 // begins a session, and may change the roll: a leader writes one before anything else
	kindRecords = 2 // carries records of the session it names
	kindNotice  = 3 // changes the roll; belongs to no session
)

// An entry is
//
//	version  1 byte
//	kind     1 byte
//	session  8 bytes, big endian: the raft index of the opening entry (0 but in an entry with records)
//	number   8 bytes, big endian: counts the entries of a session from 0 (0 but in an entry with records)
//	records  each a uvarint length and that many bytes, up to the end
//
// There is no checksum here: logCodec puts one around every entry on disk.
const entryHeaderSize = 1 + 1 + 8 + 8

// maxCallBytes bounds the encoded records of one Propose call. The log store holds up to 64 MiB in an entry; a quarter
// of it leaves an entry that also travels to a follower in one message.
const maxCallBytes = 16 << 20

var errEntry = errors.New("malformed entry")

// entryHeader is the part of an entry that stands before the records.
type entryHeader struct {
	kind    byte
	session uint64
	number  uint64
}

// newEntry returns an entry of this program's format without records, with room for size bytes of them.
func newEntry(h entryHeader, size int) []byte { return newEntryOf(entryVersion, h, size) }

// newEntryOf is newEntry in a format that all members read.
func newEntryOf(format byte, h entryHeader, size int) []byte {
	e := make([]byte, entryHeaderSize, entryHeaderSize+size)
	e[0], e[1] = format, h.kind
	binary.BigEndian.PutUint64(e[2:], h.session)
	binary.BigEndian.PutUint64(e[10:], h.number)
	return e
}

// appendRecord returns the entry with one more record.
func appendRecord(entry, record []byte) []byte {
	entry = binary.AppendUvarint(entry, uint64(len(record)))
	return append(entry, record...)
}

// recordSize returns how many bytes a record of n bytes takes in an entry, at most.
func recordSize(n int) int {
	return binary.MaxVarintLen32 + n
}

// decodeEntry reads an entry of a format that this program knows.
func decodeEntry(data []byte, into [][]byte) (entryHeader, [][]byte, error) {
	return decodeEntryUpTo(entryVersion, data, into)
}

// decodeEntryUpTo reads an entry of a format from 1 to newest. The records are parts of data, appended to into[:0].
func decodeEntryUpTo(newest byte, data []byte, into [][]byte) (entryHeader, [][]byte, error) {
	records := into[:0]
	if len(data) == 0 {
		return entryHeader{}, nil, fmt.Errorf("%w: empty", errEntry)
	}
	if data[0] == 0 || data[0] > newest {
		return entryHeader{}, nil, fmt.Errorf("entry of format version %d, this program reads versions 1 to %d: "+
			"it was written by another version of taskgrid", data[0], newest)
	}
	if len(data) < entryHeaderSize {
		return entryHeader{}, nil, fmt.Errorf("%w: %d bytes, the header alone has %d", errEntry, len(data), entryHeaderSize)
	}
	h := entryHeader{
		kind:    data[1],
		session: binary.BigEndian.Uint64(data[2:]),
		number:  binary.BigEndian.Uint64(data[10:]),
	}
	if h.kind < kindOpening || h.kind > kindNotice {
		return entryHeader{}, nil, fmt.Errorf("%w: kind %d", errEntry, h.kind)
	}
	for rest := data[entryHeaderSize:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return entryHeader{}, nil, fmt.Errorf("%w: record %d does not fit", errEntry, len(records))
		}
		records = append(records, rest[n:n+int(size):n+int(size)])
		rest = rest[n+int(size):]
	}
	return h, records, nil
}
