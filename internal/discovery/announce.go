package discovery

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// announceInterval is how often a leader announces itself; an announcement lasts several times as long.
	announceInterval = time.Second

	// leadsInterval is how often it is asked whether it leads: a new leader is announced this soon.
	leadsInterval = 50 * time.Millisecond
)

// Announce tells every name service of the list, each second until ctx ends, that the dispatcher with this instance id
// leads and listens at address (host:port), which is asked for each time: a container that was cut off from its network
// may come back under another one. Leads is asked for the raft term; while
// it answers false nothing is announced and the last announcement runs out, and a new term is announced at once. A name
// service that is away is logged once and asked again; the only error is a malformed list.
func Announce(ctx context.Context, nameServices, instance string, address func() (string, error), leads func() (term uint64, ok bool), log *slog.Logger, opts ...grpc.DialOption) error {
	names, err := Open(nameServices, instance, opts...)
	if err != nil {
		return err
	}
	defer names.Close()
	ticker := time.NewTicker(leadsInterval)
	defer ticker.Stop()
	var (
		last      time.Time
		announced uint64          // term
		where     string          // this dispatcher's address, as far as it is known
		silent    map[string]bool // addresses of name services that did not take the last announcement
	)
	for {
		if term, ok := leads(); ok && (term != announced || time.Since(last) >= announceInterval) {
			announced, last = term, time.Now()
			now, err := address()
			if err == nil {
				where = now
			}
			if where == "" {
				log.Warn("not announced: the own address is not known yet", "error", err)
			} else {
				silent = logChanges(ctx, log, silent, names.Each(ctx, func(ctx context.Context, ns pb.NameServiceClient) error {
					_, err := ns.AnnounceService(ctx, &pb.AnnounceServiceRequest{
						Service: Dispatcher, InstanceId: instance, Address: where, Term: term})
					return err
				}))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// logChanges logs which name services began or ceased to answer, and returns the silent ones.
func logChanges(ctx context.Context, log *slog.Logger, before map[string]bool, answers []Answer) map[string]bool {
	silent := map[string]bool{}
	for _, a := range answers {
		silent[a.Address] = a.Err != nil
		switch {
		case ctx.Err() != nil: // it is we who hung up
		case a.Err != nil && !before[a.Address]:
			log.Warn("name service does not take the announcement", "nameservice", a.Address, "error", Reason(a.Err))
		case a.Err == nil && before[a.Address]:
			log.Info("name service takes the announcement again", "nameservice", a.Address)
		}
	}
	return silent
}
