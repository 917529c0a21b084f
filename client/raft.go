package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	pb "taskgrid/proto/taskgrid/v1"
)

// Members describes the dispatchers that replicate the journal, as one of them knows it: the leader if there is one.
func (c *Client) Members(ctx context.Context) (*pb.ListMembersResponse, error) {
	return ask(ctx, c, true, c.raft.ListMembers, &pb.ListMembersRequest{})
}

// AddMember lets a dispatcher that runs take part; it returns when that counts. Already: it did before.
func (c *Client) AddMember(ctx context.Context, id, raftAddress string) (already bool, err error) {
	resp, err := ask(ctx, c, true, c.raft.AddMember, &pb.AddMemberRequest{Id: id, RaftAddress: raftAddress})
	return resp.GetAlready(), err
}

// RemoveMember takes a dispatcher out of the cluster.
func (c *Client) RemoveMember(ctx context.Context, id string) error {
	_, err := ask(ctx, c, false, c.raft.RemoveMember, &pb.RemoveMemberRequest{Id: id})
	return err
}

// TransferLeadership hands leadership to a dispatcher, "" for whichever is best, and returns who leads then; "" when that
// is not known yet.
func (c *Client) TransferLeadership(ctx context.Context, id string) (leader string, err error) {
	resp, err := ask(ctx, c, false, c.raft.TransferLeadership, &pb.TransferLeadershipRequest{Id: id})
	return resp.GetLeader(), err
}

// Backup writes a backup of all tasks to what begin returns, which is called anew, to begin from the beginning, when the
// connection breaks.
func (c *Client) Backup(ctx context.Context, begin func() (io.Writer, error)) error {
	var failed error // of the writer: no matter of the grid
	err := c.persist(ctx, true, func(ctx context.Context, talk *conversation) (Failure, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.raft.Backup(ctx, &pb.BackupRequest{})
		if err != nil {
			return judged(err)
		}
		talk.connected()
		var to io.Writer
		if to, failed = begin(); failed != nil {
			return judged(nil)
		}
		for {
			resp, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return judged(nil)
			}
			if err != nil {
				return judged(err)
			}
			talk.answered()
			if _, failed = to.Write(resp.Chunk); failed != nil {
				return judged(nil)
			}
		}
	})
	return errors.Join(failed, err)
}

// restoreChunk is how much of a backup goes into a message, in bytes.
const restoreChunk = 256 << 10

// Restore replaces all tasks by those of a backup, which begin opens from its beginning. Force lets it replace what is not
// empty. It is not tried again when it is not known whether it was done.
func (c *Client) Restore(ctx context.Context, begin func() (io.Reader, error), force bool) (*pb.RestoreResponse, error) {
	var failed error
	var done *pb.RestoreResponse
	err := c.persist(ctx, false, func(ctx context.Context, _ *conversation) (Failure, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var from io.Reader
		if from, failed = begin(); failed != nil {
			return judged(nil)
		}
		var sentTo peer.Peer
		stream, err := c.raft.Restore(ctx, grpc.Peer(&sentTo))
		if err != nil {
			return NotDone, err
		}
		if failed = sendAll(stream, from, force); failed != nil {
			return judged(nil)
		}
		done, err = stream.CloseAndRecv()
		if err != nil && sentTo.Addr == nil {
			return NotDone, err
		}
		return judged(err)
	})
	return done, errors.Join(failed, err)
}

// sendAll sends a backup. That the stream broke is for CloseAndRecv to tell; the error is that of reading.
func sendAll(stream pb.RaftService_RestoreClient, from io.Reader, force bool) error {
	buf := make([]byte, restoreChunk)
	for {
		n, err := io.ReadFull(from, buf)
		if n > 0 && stream.Send(&pb.RestoreRequest{Chunk: buf[:n], Force: force}) != nil {
			return nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
