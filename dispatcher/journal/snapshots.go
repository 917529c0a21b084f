package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// snapshots keeps the newest snapshot in a directory, one file each:
//
//	magic    8 bytes, the last of them the format version
//	meta     4 bytes of length, that many bytes of JSON (raft's SnapshotMeta), 4 bytes CRC-32C of both
//	chunks   4 bytes of length (not 0), 4 bytes CRC-32C of the content, the content
//	end      4 bytes 0, 8 bytes how long all contents are together, 4 bytes CRC-32C of these 12
//
// All numbers are big endian. Every byte is under a sum that is checked before the byte is used, so that reading a
// state needs one pass; and a file is complete in itself: a copy of it is a backup.
//
// We do not use raft's FileSnapshotStore: it reads a state twice to check it, leaves half a file behind on a full
// disk, and skips what it cannot read without a word to the user.
type snapshots struct {
	dir string
	log *slog.Logger
}

// snapshotMagic begins each file. Its last byte is the format version.
const snapshotMagic = "TGSNAPS\x01"

const (
	snapshotSuffix  = ".snapshot"
	snapshotEndSize = 4 + 8 + 4
	chunkSize       = 256 << 10
	maxMetaSize     = 1 << 20
)

// openSnapshots opens or creates the directory and removes what was not finished.
func openSnapshots(dir string, log *slog.Logger) (*snapshots, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	s := &snapshots{dir: dir, log: log}
	names, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("snapshots: remove an unfinished one: %w", err)
		}
	}
	return s, nil
}

func snapshotName(term, index uint64) string {
	return fmt.Sprintf("%020d-%020d", term, index) // sorts like (term, index)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	meta := raft.SnapshotMeta{
		Version: version, ID: snapshotName(term, index), Index: index, Term: term,
		Configuration: members, ConfigurationIndex: membersIndex,
	}
	path := filepath.Join(s.dir, meta.ID+snapshotSuffix)
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, err
	}
	w := &snapshotWriter{store: s, id: meta.ID, path: path, file: f, snapshotEncoder: snapshotEncoder{to: f}}
	if err := w.begin(&meta); err != nil {
		return nil, errors.Join(err, w.Cancel())
	}
	return w, nil
}

// snapshotWriter implements raft.SnapshotSink.
type snapshotWriter struct {
	store *snapshots
	id    string
	path  string   // where the file will be; until then with .tmp
	file  *os.File // nil when closed
	snapshotEncoder
}

// ID implements raft.SnapshotSink.
func (w *snapshotWriter) ID() string { return w.id }

// Close implements raft.SnapshotSink: the snapshot is there, on disk, and the older ones are gone; or it is not there.
func (w *snapshotWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.finish()
	if err == nil {
		err = sayDiskFull(w.file.Sync())
	}
	if err != nil {
		return errors.Join(err, w.Cancel())
	}
	err = w.file.Close()
	w.file = nil
	if err == nil {
		err = os.Rename(w.path+".tmp", w.path)
	}
	if err == nil {
		err = syncDirectory(w.store.dir)
	}
	if err == nil {
		w.store.removeBefore(w.id)
	}
	return err
}

// Cancel implements raft.SnapshotSink.
func (w *snapshotWriter) Cancel() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Close(), os.Remove(w.path+".tmp"))
	w.file = nil
	return err
}

// removeBefore removes the snapshots older than id. One that cannot be removed, because it is being sent to a follower
// on a system that keeps open files, goes with the next.
func (s *snapshots) removeBefore(id string) {
	ids, err := s.ids()
	if err != nil {
		s.log.Warn("journal: list old snapshots", "error", err)
		return
	}
	for _, old := range ids {
		if old >= id {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, old+snapshotSuffix)); err != nil {
			s.log.Warn("journal: remove an old snapshot", "error", err)
		}
	}
}

// ids returns the snapshots there are, newest first.
func (s *snapshots) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), snapshotSuffix); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var all []*raft.SnapshotMeta
	for _, id := range ids {
		meta, body, err := s.Open(id)
		if err != nil {
			return nil, err
		}
		body.Close()
		all = append(all, meta)
	}
	return all, nil
}
