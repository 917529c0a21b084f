package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logCodec is how a raft entry stands in the log files: a checksum over everything, then the fields.
//
// raft-wal checks its own sums only for the last write before a crash. A bit that flips later, in the middle of the
// log, would be applied as if it had been written so; with the sum in the entry, reading it is an error.
//
//	checksum  4 bytes, CRC-32C of all that follows
//	index, term, time (Unix nanoseconds)  8 bytes each, big endian
//	type      1 byte
//	extensions, data  each a uvarint length and that many bytes
type logCodec struct{}

// logCodecID names this format in each log file; raft-wal refuses a file with another one. Numbers below
// FirstExternalCodecID are raft-wal's own.
const logCodecID = wal.FirstExternalCodecID + 1

const logHeaderSize = 4 + 8 + 8 + 8 + 1

// ID implements wal.Codec.
func (logCodec) ID() uint64 { return logCodecID }

// Encode implements wal.Codec.
func (logCodec) Encode(l *raft.Log, w io.Writer) error {
	head := make([]byte, logHeaderSize, logHeaderSize+2*binary.MaxVarintLen64+len(l.Extensions))
	binary.BigEndian.PutUint64(head[4:], l.Index)
	binary.BigEndian.PutUint64(head[12:], l.Term)
	binary.BigEndian.PutUint64(head[20:], uint64(l.AppendedAt.UnixNano()))
	head[28] = byte(l.Type)
	head = binary.AppendUvarint(head, uint64(len(l.Extensions)))
	head = append(head, l.Extensions...)
	head = binary.AppendUvarint(head, uint64(len(l.Data)))
	sum := crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, l.Data)
	binary.BigEndian.PutUint32(head, sum)
	if g, ok := w.(interface{ Grow(int) }); ok {
		g.Grow(len(head) + len(l.Data)) // raft-wal hands a bytes.Buffer: one allocation instead of several
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(l.Data)
	return err
}

// Decode implements wal.Codec. The entry shares nothing with b, which raft-wal uses again.
func (logCodec) Decode(b []byte, l *raft.Log) error {
	if len(b) < logHeaderSize {
		return fmt.Errorf("%w: log entry of %d bytes", wal.ErrCorrupt, len(b))
	}
	if crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return fmt.Errorf("%w: log entry does not match its checksum", wal.ErrCorrupt)
	}
	l.Index = binary.BigEndian.Uint64(b[4:])
	l.Term = binary.BigEndian.Uint64(b[12:])
	l.AppendedAt = time.Unix(0, int64(binary.BigEndian.Uint64(b[20:])))
	l.Type = raft.LogType(b[28])
	rest := append([]byte(nil), b[logHeaderSize:]...)
	var ok bool
	if l.Extensions, rest, ok = cutBytes(rest); ok {
		l.Data, rest, ok = cutBytes(rest)
	}
	if !ok || len(rest) != 0 {
		return fmt.Errorf("%w: log entry %d is malformed", wal.ErrCorrupt, l.Index)
	}
	return nil
}

// cutBytes reads a uvarint length and that many bytes from the beginning of b; nil for none.
func cutBytes(b []byte) (value, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	if size > 0 {
		value = b[n : n+int(size) : n+int(size)]
	}
	return value, b[n+int(size):], true
}
