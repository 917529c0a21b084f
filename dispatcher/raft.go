package dispatcher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	pb "taskgrid/proto/taskgrid/v1"
)

// RaftServer is the operator's gRPC face of a Dispatcher.
type RaftServer struct {
	pb.UnimplementedRaftServiceServer
	d *Dispatcher
}

// NewRaftServer returns the operator's face of d.
func NewRaftServer(d *Dispatcher) *RaftServer { return &RaftServer{d: d} }

func (s *RaftServer) toStatus(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return status.FromContextError(err).Err()
	}
	return NewServer(s.d).toStatus(ctx, err)
}

// ListMembers implements pb.RaftServiceServer.
func (s *RaftServer) ListMembers(context.Context, *pb.ListMembersRequest) (*pb.ListMembersResponse, error) {
	st := s.d.journal.Status()
	resp := &pb.ListMembersResponse{Cluster: st.Cluster, Id: st.ID, State: st.State, Term: st.Term, Leader: st.LeaderID,
		AppliedIndex: st.AppliedIndex, CommitIndex: st.CommitIndex, LastContact: behind(st)}
	for _, m := range st.Peers {
		resp.Members = append(resp.Members, &pb.Member{Id: m.ID, RaftAddress: m.Address, Voter: m.Voter,
			Address: m.Replica.Service, Version: m.Replica.Version, ReadsFormat: uint32(m.Replica.Reads)})
	}
	return resp, nil
}

// AddMember implements pb.RaftServiceServer.
func (s *RaftServer) AddMember(ctx context.Context, req *pb.AddMemberRequest) (*pb.AddMemberResponse, error) {
	if err := s.leads(ctx); err != nil {
		return nil, err
	}
	for _, err := range []error{journal.CheckID(req.GetId()), journal.CheckAddress("raft_address", req.GetRaftAddress())} {
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	s.d.log.Info("adding a member", "id", req.GetId(), "raft_address", req.GetRaftAddress())
	already, err := s.d.journal.AddMember(ctx, journal.Peer{ID: req.GetId(), Address: req.GetRaftAddress()}, req.GetDisk())
	return &pb.AddMemberResponse{Already: already}, s.toStatus(ctx, err)
}

// RemoveMember implements pb.RaftServiceServer.
func (s *RaftServer) RemoveMember(ctx context.Context, req *pb.RemoveMemberRequest) (*pb.RemoveMemberResponse, error) {
	if err := s.leads(ctx); err != nil {
		return nil, err
	}
	s.d.log.Info("removing a member", "id", req.GetId())
	return &pb.RemoveMemberResponse{}, s.toStatus(ctx, s.d.journal.RemoveMember(req.GetId()))
}

// TransferLeadership implements pb.RaftServiceServer.
func (s *RaftServer) TransferLeadership(ctx context.Context, req *pb.TransferLeadershipRequest) (*pb.TransferLeadershipResponse, error) {
	if err := s.leads(ctx); err != nil {
		return nil, err
	}
	if err := s.d.journal.Transfer(req.GetId()); err != nil {
		return nil, s.toStatus(ctx, err)
	}
	leader, err := s.successor(ctx)
	return &pb.TransferLeadershipResponse{Leader: leader}, err
}

// successor waits until this replica, which has handed leadership over, has heard of who leads now.
func (s *RaftServer) successor(ctx context.Context) (id string, err error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if now := s.d.journal.Status(); now.LeaderID != "" && now.LeaderID != now.ID {
			return now.LeaderID, nil
		}
		select {
		case <-ctx.Done():
			return "", status.FromContextError(ctx.Err()).Err()
		case <-ticker.C:
		}
	}
}

// leads returns the error for a caller that came to a replica which does not lead.
func (s *RaftServer) leads(ctx context.Context) error {
	if _, leading := s.d.Leading(); !leading {
		return s.toStatus(ctx, journal.ErrNotLeader)
	}
	return nil
}

// backupChunk bounds a message of a backup, in bytes.
const backupChunk = 256 << 10

// Backup implements pb.RaftServiceServer.
func (s *RaftServer) Backup(_ *pb.BackupRequest, stream pb.RaftService_BackupServer) error {
	w := bufio.NewWriterSize(chunks{stream}, backupChunk)
	err := s.d.journal.Backup(stream.Context(), w)
	if err == nil {
		err = w.Flush()
	}
	return s.toStatus(stream.Context(), err)
}

// chunks sends what is written.
type chunks struct{ stream pb.RaftService_BackupServer }

// Write implements io.Writer.
func (c chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), backupChunk)
		if err := c.stream.Send(&pb.BackupResponse{Chunk: rest[:n]}); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// Restore implements pb.RaftServiceServer.
func (s *RaftServer) Restore(stream pb.RaftService_RestoreServer) error {
	ctx := stream.Context()
	if err := s.leads(ctx); err != nil {
		return err
	}
	path, force, err := s.receive(stream)
	if path != "" {
		defer os.Remove(path)
	}
	if err != nil {
		return err
	}
	lastTask, lastEvent, err := readBackup(path)
	if err != nil {
		return s.toStatus(ctx, err)
	}
	if last := s.d.lastTask(); last > 0 && !force {
		return status.Errorf(codes.FailedPrecondition, "force: false: the cluster is not empty: it has accepted %d tasks, which would be lost; force replaces them", last)
	}
	s.d.log.Info("restoring a backup", "last_task", lastTask, "last_event", lastEvent)
	if err := s.d.journal.Restore(ctx, path); err != nil {
		return s.toStatus(ctx, err)
	}
	return stream.SendAndClose(&pb.RestoreResponse{LastTask: lastTask, LastEvent: lastEvent})
}

// receive takes a backup into a file in the data directory, whose disk has to hold it anyway.
func (s *RaftServer) receive(stream pb.RaftService_RestoreServer) (path string, force bool, err error) {
	f, err := os.CreateTemp(s.d.cfg.Journal.Directory, "restore-*.tmp")
	if err != nil {
		return "", false, s.toStatus(stream.Context(), err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = s.toStatus(stream.Context(), closeErr)
		}
	}()
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return f.Name(), force, nil
		}
		if err != nil {
			return f.Name(), force, err
		}
		force = force || req.GetForce()
		if _, err := f.Write(req.GetChunk()); err != nil {
			return f.Name(), force, s.toStatus(stream.Context(), err)
		}
	}
}

// readBackup reads all of a backup into a machine that nobody uses, and returns where it stands.
func readBackup(path string) (lastTask, lastEvent uint64, err error) {
	body, err := journal.OpenBackup(path)
	if err != nil {
		return 0, 0, err
	}
	defer body.Close()
	m := core.NewMachine(1)
	if err := m.Restore(body); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", journal.ErrBackup, err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", journal.ErrBackup, err)
	}
	return m.LastID(), m.LastEvent(), nil
}

func (d *Dispatcher) lastTask() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.LastID()
}

// behind returns how old what a replica shows is at most, and the index of the newest entry in it. Take it before what is
// shown.
func (d *Dispatcher) behind() (*durationpb.Duration, uint64) {
	st := d.journal.Status()
	return behind(st), st.AppliedIndex
}

// behind returns how long ago a replica heard from the leader; nil when it leads, or has not.
func behind(st journal.Status) *durationpb.Duration {
	if st.State == "leader" || st.LastContact.IsZero() {
		return nil
	}
	return duration(max(0, time.Since(st.LastContact)))
}
