package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// mark is a small file beside the log that says up to which index the log is certainly on disk.
//
// raft-wal cannot tell a write that a crash cut short (never acknowledged: rightly dropped) from a write that was
// damaged later (acknowledged: must not be dropped): it ends the log there, silently. The mark tells them apart: a log
// that ends before it has lost acknowledged entries, and is refused. It is written after every append, without waiting
// for the disk: a killed process loses none of it, a machine that loses power the last seconds of it, and then the log
// is only longer than the mark says.
type mark struct {
	file  *os.File
	index uint64 // what the file says; 0 when it says nothing
}

// markSize is the index and its checksum.
const markSize = 8 + 4

func openMark(path string) (*mark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	m := &mark{file: f}
	var b [markSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	// A mark that a power cut tore says nothing.
	if binary.BigEndian.Uint32(b[8:]) == crc32.Checksum(b[:8], castagnoli) {
		m.index = binary.BigEndian.Uint64(b[:])
	}
	return m, nil
}

// raise notes that the log is on disk up to index. One goroutine at a time.
func (m *mark) raise(index uint64) error {
	var b [markSize]byte
	binary.BigEndian.PutUint64(b[:], index)
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli))
	if _, err := m.file.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("mark the end of the log: %w", err)
	}
	m.index = index
	return nil
}

// lower notes, on disk, that the log will end at index.
func (m *mark) lower(index uint64) error {
	if err := m.raise(index); err != nil {
		return err
	}
	return m.file.Sync()
}

func (m *mark) close() error {
	return m.file.Close()
}
