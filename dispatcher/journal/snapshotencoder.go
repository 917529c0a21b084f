package journal

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
)

// snapshotEncoder writes a snapshot in the form that stands at snapshots: begin, Write, finish.
type snapshotEncoder struct {
	to    io.Writer
	chunk []byte
	size  uint64
}

func (w *snapshotEncoder) begin(meta *raft.SnapshotMeta) error {
	content, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	w.chunk = make([]byte, 0, chunkSize)
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(content)))
	head = append(head, content...)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head[len(snapshotMagic):], castagnoli))
	_, err = w.to.Write(head)
	return sayDiskFull(err)
}

// Write implements raft.SnapshotSink.
func (w *snapshotEncoder) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), chunkSize-len(w.chunk))
		w.chunk = append(w.chunk, p[:n]...)
		p = p[n:]
		if len(w.chunk) == chunkSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// flush writes the chunk at hand.
func (w *snapshotEncoder) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(w.chunk)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(w.chunk, castagnoli))
	if _, err := w.to.Write(head[:]); err != nil {
		return sayDiskFull(err)
	}
	if _, err := w.to.Write(w.chunk); err != nil {
		return sayDiskFull(err)
	}
	w.size += uint64(len(w.chunk))
	w.chunk = w.chunk[:0]
	return nil
}

// finish writes what is left.
func (w *snapshotEncoder) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	var end [snapshotEndSize]byte
	binary.BigEndian.PutUint64(end[4:], w.size)
	binary.BigEndian.PutUint32(end[12:], crc32.Checksum(end[:12], castagnoli))
	_, err := w.to.Write(end[:])
	return sayDiskFull(err)
}
