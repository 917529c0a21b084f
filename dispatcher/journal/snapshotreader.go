package journal

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Open implements raft.SnapshotStore. What is read from the snapshot has been checked; damage is an error of Read.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.dir, id+snapshotSuffix)
	return openSnapshot(path, func(err error) error {
		if errors.Is(err, errDamaged) {
			return fmt.Errorf("snapshot %s: %w; restore the directory from another replica or a backup", path, err)
		}
		return fmt.Errorf("snapshot %s: %w", path, err)
	})
}

// openSnapshot opens a file that a snapshotEncoder has written.
func openSnapshot(path string, say func(error) error) (*raft.SnapshotMeta, io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	meta, err := readSnapshotHead(f)
	if err == nil {
		meta.Size, err = readSnapshotEnd(f)
	}
	if err != nil {
		f.Close()
		return nil, nil, say(err)
	}
	return meta, &snapshotReader{say: say, file: f, in: bufio.NewReaderSize(f, chunkSize), left: uint64(meta.Size)}, nil
}

// errDamaged is a snapshot that is not what was written.
var errDamaged = errors.New("the snapshot is damaged")

// readSnapshotHead reads the file up to the first chunk.
func readSnapshotHead(r io.Reader) (*raft.SnapshotMeta, error) {
	var head [len(snapshotMagic) + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: no header", errDamaged)
	}
	const version = len(snapshotMagic) - 1
	if string(head[:version]) != snapshotMagic[:version] {
		return nil, fmt.Errorf("%w: it does not begin like one", errDamaged)
	}
	if head[version] != snapshotMagic[version] {
		return nil, fmt.Errorf("snapshot of format version %d, this program reads version %d only: it was written by another version of taskgrid",
			head[version], snapshotMagic[version])
	}
	size := binary.BigEndian.Uint32(head[len(snapshotMagic):])
	if size > maxMetaSize {
		return nil, fmt.Errorf("%w: a header of %d bytes", errDamaged, size)
	}
	rest := make([]byte, size+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, fmt.Errorf("%w: the header ends early", errDamaged)
	}
	sum := crc32.Update(crc32.Checksum(head[len(snapshotMagic):], castagnoli), castagnoli, rest[:size])
	if sum != binary.BigEndian.Uint32(rest[size:]) {
		return nil, fmt.Errorf("%w: the header does not match its checksum", errDamaged)
	}
	meta := new(raft.SnapshotMeta)
	if err := json.Unmarshal(rest[:size], meta); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return meta, nil
}

// readSnapshotEnd returns how long the state is.
func readSnapshotEnd(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var end [snapshotEndSize]byte
	if _, err := f.ReadAt(end[:], info.Size()-snapshotEndSize); err != nil {
		return 0, fmt.Errorf("%w: no end", errDamaged)
	}
	if crc32.Checksum(end[:12], castagnoli) != binary.BigEndian.Uint32(end[12:]) || binary.BigEndian.Uint32(end[:]) != 0 {
		return 0, fmt.Errorf("%w: it ends early", errDamaged)
	}
	return int64(binary.BigEndian.Uint64(end[4:])), nil
}

// snapshotReader reads the contents of the chunks.
type snapshotReader struct {
	say   func(error) error
	file  *os.File
	in    *bufio.Reader
	left  uint64 // bytes of content after the chunk at hand
	chunk []byte // of the chunk at hand, what is not read yet
	buf   []byte
}

// Read implements io.Reader.
func (r *snapshotReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, r.say(err)
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// next reads and checks a chunk.
func (r *snapshotReader) next() error {
	var head [8]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > chunkSize || uint64(size) > r.left {
		return fmt.Errorf("%w: a chunk of %d bytes", errDamaged, size)
	}
	if r.buf == nil {
		r.buf = make([]byte, chunkSize)
	}
	r.chunk = r.buf[:size]
	if _, err := io.ReadFull(r.in, r.chunk); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if crc32.Checksum(r.chunk, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return fmt.Errorf("%w: a chunk does not match its checksum", errDamaged)
	}
	r.left -= uint64(size)
	return nil
}

// Close implements io.Closer.
func (r *snapshotReader) Close() error {
	return r.file.Close()
}
