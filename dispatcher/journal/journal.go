package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Journal is a durable, replicated log of records. Its methods may be called by any goroutine.
type Journal struct {
	cfg     Config
	metrics *metrics
	logger  hclog.Logger // raft's chatter

	directory *directory // nil with Config.Stores
	disk      *diskLog   // nil with Config.Stores
	stores    Stores
	guard     *failStop
	machine   *machine

	raft     atomic.Pointer[raft.Raft] // nil before Run
	changes  chan bool                 // raft's leadership, each change of it
	announce *announcer
	fatal    chan struct{} // closed by fail
	failure  atomic.Pointer[error]

	meetings   *meetings
	complaints complaints

	mu      sync.Mutex
	session *session // nil when this node does not lead

	growth    growth
	closeOnce sync.Once
}

// Open locks the data directory and opens what is in it; Run does everything else. It is refused, in words, when the
// directory is in use by another process, belongs to another node or cluster, is of another format, or has lost
// entries that were acknowledged. A Journal that is not run must be closed.
func Open(cfg Config, sm StateMachine) (_ *Journal, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		cfg:      cfg,
		logger:   newLogger(cfg.Logger, cfg.RaftAddress == "" && cfg.Transport == nil),
		changes:  make(chan bool, 64),
		announce: newAnnouncer(),
		fatal:    make(chan struct{}),
		growth:   growth{due: make(chan any, 1)},
		meetings: newMeetings(),
	}
	j.metrics, err = newMetrics(cfg.Registerer, j)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.machine = &machine{sm: sm, fail: j.fail, reads: cfg.newestFormat, noticed: j.noticed}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("journal: %w", err), j.Close())
		}
	}()
	if cfg.Stores != nil {
		j.stores = *cfg.Stores
	} else if err := j.openStores(); err != nil {
		return nil, err
	}
	j.guard = &failStop{LogStore: j.stores.Log, StableStore: j.stores.Stable, fail: j.fail, count: j.appended}
	return j, nil
}

// openStores opens the data directory and what is in it.
func (j *Journal) openStores() (err error) {
	j.directory, err = openDirectory(j.cfg.Directory, j.cfg.ID, j.cfg.Cluster, FormatPeers(j.cfg.Peers))
	if err != nil {
		return err
	}
	logs, err := openDiskLog(filepath.Join(j.directory.path, logName), j.cfg.segmentBytes, j.logger)
	if err != nil {
		return err
	}
	j.disk = logs
	snapshots, err := openSnapshots(filepath.Join(j.directory.path, snapshotsName), j.cfg.Logger)
	if err != nil {
		return err
	}
	j.stores = Stores{Log: logs, Stable: logs, Snapshots: snapshots}
	return j.checkEnd()
}

// checkEnd refuses a log that ends before its mark, and notes how much there is to replay.
func (j *Journal) checkEnd() error {
	known, err := j.stores.Snapshots.List()
	if err != nil {
		return err
	}
	first, err := j.disk.FirstIndex()
	if err != nil {
		return err
	}
	last, err := j.disk.LastIndex()
	if err != nil {
		return err
	}
	end := last
	if len(known) > 0 {
		end = max(end, known[0].Index)
		j.setSnapshot(known[0].Size, 0)
	}
	if end < j.disk.mark.index {
		return fmt.Errorf("the log in %s ends at entry %d, but entry %d was written and acknowledged: a log file is damaged; "+
			"restore the directory from another replica or a backup", filepath.Join(j.directory.path, logName), end, j.disk.mark.index)
	}
	if last > 0 {
		j.growth.since = int64(last-first+1)*entryCost + (j.disk.files()-1)*int64(j.cfg.segmentBytes)
	}
	return nil
}

// Close gives the directory to others. Run does it too; only a journal that was never run needs it.
func (j *Journal) Close() error {
	var errs []error
	j.closeOnce.Do(func() {
		if j.disk != nil {
			errs = append(errs, j.disk.Close())
		}
		if j.directory != nil {
			errs = append(errs, j.directory.close())
		}
		j.metrics.unregister()
	})
	return errors.Join(errs...)
}

// fail says that the journal cannot go on. The first reason counts.
func (j *Journal) fail(err error) {
	if j.failure.CompareAndSwap(nil, &err) {
		close(j.fatal)
	}
}

// Failed returns why the journal cannot go on, nil when it can.
func (j *Journal) Failed() error {
	if err := j.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Run keeps the journal until ctx ends (nil) or it cannot go on, because the disk failed or what is on it cannot be
// read: then nobody knows what the disk holds, nothing more is acknowledged, and the process must stop and start
// again from what is there. Run is called once; when it returns the directory is free.
//
// It ends in this order: no more proposals; what raft already has is waited for; raft; the files; the lock.
func (j *Journal) Run(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, j.Close())
		if err != nil {
			err = fmt.Errorf("journal: %w", err)
		}
	}()
	if err := j.startRaft(); err != nil {
		close(j.announce.out)
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var leading, others sync.WaitGroup
	leading.Go(func() { j.lead(ctx) })
	others.Go(func() { j.announce.run(ctx) })
	others.Go(func() { j.keepSmall(ctx) })
	select {
	case <-ctx.Done():
	case <-j.fatal:
	}
	cancel()
	leading.Wait()
	j.machine.stopping.Store(true)
	err = j.raft.Load().Shutdown().Error()
	others.Wait()
	return errors.Join(j.Failed(), err)
}
