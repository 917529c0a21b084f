package journal

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Names in the data directory.
const (
	lockName      = "LOCK"         // held by the process that uses the directory; says its pid
	identityName  = "journal.json" // whose journal this is
	logName       = "wal"          // the log
	snapshotsName = "snapshots"    // the snapshots
)

// directoryFormat is the layout of the data directory. Another number is refused.
const directoryFormat = 1

// identity says whose journal a directory holds.
type identity struct {
	Format  int    `json:"format"`
	Node    string `json:"node"`    // Config.ID
	Cluster string `json:"cluster"` // the cluster's name; "" until Config.Cluster or the cluster itself has said it
	Disk    string `json:"disk"`    // names this directory, at random
	Peers   string `json:"peers"`   // what --peers said at the first start
	Ready   bool   `json:"ready"`   // false until the first start has gone through: nothing was acknowledged before
}

// directory is a data directory that this process holds.
type directory struct {
	path string
	lock *os.File

	mu sync.Mutex // guards Cluster and Ready, and the file
	identity
}

// openDirectory locks the data directory, creating it when it does not exist, and checks that it is this node's.
func openDirectory(path, node, cluster, peers string) (_ *directory, err error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockDirectory(path)
	if err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: lock}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	switch found, err := d.readIdentity(); {
	case err != nil:
		return nil, err
	case !found:
		if err := d.checkEmpty(); err != nil {
			return nil, err
		}
		d.identity = identity{Format: directoryFormat, Node: node, Cluster: cluster, Disk: rand.Text(), Peers: peers}
		if err := d.writeIdentity(); err != nil {
			return nil, err
		}
	case d.Node != node:
		return nil, setupError("data directory %s belongs to node %q, this is node %q: give each node a directory of its own", path, d.Node, node)
	case peers != "" && d.Peers != peers:
		return nil, setupError("peers: %s: the data directory %s began with %s; --peers counts at the first start only, afterwards members come and go with taskgrid raft add and remove",
			peers, path, cmp.Or(d.Peers, "none"))
	case cluster != "" && d.Cluster != cluster:
		return nil, setupError("data directory %s belongs to cluster %q, not to %q", path, d.Cluster, cluster)
	}
	if !d.Ready {
		if err := d.clear(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// lockDirectory returns the open lock file, which holds the lock until it is closed.
func lockDirectory(path string) (*os.File, error) {
	name := filepath.Join(path, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	taken, err := tryLock(f)
	if err == nil && !taken {
		pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(pid, 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	if taken {
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		f.Close()
		return nil, fmt.Errorf("data directory %s is in use by another process (pid %s)", path, strings.TrimSpace(string(pid)))
	}
	return f, nil
}

func (d *directory) readIdentity() (found bool, err error) {
	name := filepath.Join(d.path, identityName)
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	if err := json.Unmarshal(content, &d.identity); err != nil {
		return false, fmt.Errorf("data directory: %s is damaged: %w", name, err)
	}
	if d.Format != directoryFormat {
		return false, fmt.Errorf("data directory %s has format %d, this program knows format %d only: it was written by another version of taskgrid",
			d.path, d.Format, directoryFormat)
	}
	return true, nil
}

func (d *directory) writeIdentity() error {
	content, err := json.MarshalIndent(d.identity, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(d.path, identityName), append(content, '\n')); err != nil {
		return fmt.Errorf("data directory: %w", sayDiskFull(err))
	}
	return nil
}

// checkEmpty refuses to begin a journal among somebody else's files.
func (d *directory) checkEmpty() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != lockName && name != identityName+".tmp" && name != "lost+found" {
			return fmt.Errorf("data directory %s is not empty (%s) and holds no %s: not a journal, or a damaged one; nothing was changed",
				d.path, name, identityName)
		}
	}
	return nil
}

// clear removes what a first start left that did not go through.
func (d *directory) clear() error {
	for _, name := range []string{logName, snapshotsName} {
		if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
			return fmt.Errorf("data directory: clear after an unfinished first start: %w", err)
		}
	}
	return nil
}

// setReady notes that the first start went through.
func (d *directory) setReady() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Ready {
		return nil
	}
	d.Ready = true
	return d.writeIdentity()
}

// cluster returns the name of the cluster that the directory belongs to, "" when it has not heard of one.
func (d *directory) cluster() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Cluster
}

// setCluster notes to which cluster the directory belongs. One that belongs to another is refused.
func (d *directory) setCluster(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Cluster == name {
		return nil
	}
	if d.Cluster != "" {
		return fmt.Errorf("data directory %s belongs to cluster %q, not to %q", d.path, d.Cluster, name)
	}
	d.Cluster = name
	return d.writeIdentity()
}

// close gives the directory to others.
func (d *directory) close() error {
	return d.lock.Close()
}
