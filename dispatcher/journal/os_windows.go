package journal

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/windows"
)

// syncDirectory has nothing to do: NTFS journals names itself, and a directory cannot be flushed.
func syncDirectory(string) error { return nil }

// prepareMeta creates raft-wal's database, because raft-wal's own way of doing it ends in flushing a directory. It is
// there whole or not at all: written under another name first.
func prepareMeta(dir string) error {
	path := filepath.Join(dir, metadb.FileName)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	temporary := path + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	db, err := bbolt.Open(temporary, 0o644, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{metadb.MetaBucket, metadb.StableBucket} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// tryLock takes f for this process until it is closed. taken is true when another process has it. What is locked is a
// byte far behind the content, because Windows lets nobody read what is locked, and the content says who has it.
func tryLock(f *os.File) (taken bool, err error) {
	at := &windows.Overlapped{OffsetHigh: 1}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}
