package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// ErrBackup is in the chain of an error that says why a backup cannot be used.
var ErrBackup = errors.New("backup")

// Backup writes the state as it is to w, as a file that Restore takes: a snapshot file. Only a leader can, and what it
// writes is no older than anything acknowledged before the call. Errors: ErrNotLeader, ctx's, the disk's and w's.
func (j *Journal) Backup(ctx context.Context, w io.Writer) error {
	if err := j.VerifyLeader(ctx); err != nil {
		return err
	}
	if err := j.SnapshotNow(ctx); err != nil {
		return err
	}
	all, err := j.stores.Snapshots.List()
	if err != nil {
		return fmt.Errorf("journal: backup: %w", err)
	}
	if len(all) == 0 {
		return errors.New("journal: backup: there is no snapshot")
	}
	meta, body, err := j.stores.Snapshots.Open(all[0].ID)
	if err != nil {
		return fmt.Errorf("journal: backup: %w", err)
	}
	defer body.Close()
	e := snapshotEncoder{to: w}
	if err := e.begin(meta); err != nil {
		return err
	}
	if _, err := io.Copy(&e, body); err != nil {
		return fmt.Errorf("journal: backup: %w", err)
	}
	return e.finish()
}

// OpenBackup opens a backup and returns the StateMachine's part of it. Damage is an error of Read. Errors: ErrBackup.
func OpenBackup(path string) (io.ReadCloser, error) {
	_, body, _, err := openBackup(path)
	return body, err
}

// openBackup opens a backup behind its header, and returns how long that was.
func openBackup(path string) (meta *raft.SnapshotMeta, body io.ReadCloser, header int64, err error) {
	// Who sent it knows the file by another name than path.
	meta, body, err = openSnapshot(path, func(err error) error { return fmt.Errorf("the file is no backup, or not as it was written: %w", err) })
	if err != nil {
		return nil, nil, 0, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	counted := &meter{Reader: body}
	if _, _, _, err := readStateHeader(counted); err != nil {
		body.Close()
		return nil, nil, 0, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return meta, body, counted.n, nil
}

// meter measures what is read.
type meter struct {
	io.Reader
	n int64
}

// Read implements io.Reader.
func (c *meter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// Restore replaces the state by that of a backup, on all members, which stay who they are. The caller has read all of it
// before, with OpenBackup, and found it to be intact and of his format: raft gives up the process over a state that
// cannot be read. Whatever is being proposed meanwhile ends with ErrNotLeader or ErrUnknown, and leadership begins anew.
// Only a leader can. Errors: ErrNotLeader, ErrBackup, ErrMember (the members are being changed).
func (j *Journal) Restore(ctx context.Context, path string) error {
	if err := j.VerifyLeader(ctx); err != nil {
		return err
	}
	meta, body, header, err := openBackup(path)
	if err != nil {
		return err
	}
	defer body.Close()
	own, err := stateHeader(0, 0, j.machine.known()) // nothing of an earlier session counts any more
	if err != nil {
		return err
	}
	meta.Size += int64(len(own)) - header
	if err := j.raft.Load().Restore(meta, io.MultiReader(bytes.NewReader(own), body), 0); err != nil {
		return changeError(err)
	}
	// The session is void. The first entry that says so ends it, so there has to be one.
	if err := j.Propose(nil, nil); err != nil && !errors.Is(err, ErrNotLeader) {
		return err
	}
	return nil
}
