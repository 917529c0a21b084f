package dispatcher

import (
	"context"
	"time"
)

// handOverTimeout bounds how long a leader that is to end waits for another to lead. It takes some ten milliseconds.
const handOverTimeout = 2 * time.Second

// HandOver returns a context for everything that this process runs, which ends after ctx, when this replica has handed
// leadership to another if it led: then callers and workers wait for milliseconds and not for an election timeout. A
// dispatcher that is alone, or that finds nobody who can take over, ends all the same.
func (d *Dispatcher) HandOver(ctx context.Context) context.Context {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.handOver()
		end(context.Cause(ctx))
	})
	return longer
}

func (d *Dispatcher) handOver() {
	if _, leading := d.Leading(); !leading || len(d.journal.Status().Peers) < 2 {
		return
	}
	handed := make(chan error, 1)
	go func() { handed <- d.journal.Transfer("") }() // ends when raft gives up, after an election timeout
	timeout := time.NewTimer(handOverTimeout)
	defer timeout.Stop()
	select {
	case err := <-handed:
		if err != nil {
			d.log.Warn("leadership was not handed over", "error", err)
			return
		}
	case <-timeout.C:
		d.log.Warn("leadership was not handed over", "within", handOverTimeout)
		return
	}
	// Until the next leader is known callers would be told nothing better than to try again.
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if leader := d.journal.Status().LeaderID; leader != "" && leader != d.cfg.Journal.ID {
			d.log.Info("leadership was handed over", "to", leader)
			return
		}
		select {
		case <-ticker.C:
		case <-timeout.C:
			return
		}
	}
}
