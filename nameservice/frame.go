package nameservice

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// frame is a message for watchers that is encoded once, however many of them get it: it is made when it is first sent.
// It is a proto.Message, so a server without the Codec can send it too, and encodes it again for each of them.
type frame struct {
	view     View // its workers go when the message is made
	snapshot bool
	epoch    string
	made     time.Time

	once sync.Once
	*pb.WatchWorkersResponse
	encoded mem.SliceBuffer
	err     error
}

// prepare makes the message and its bytes, unless somebody did.
func (f *frame) prepare() error {
	f.once.Do(func() {
		f.WatchWorkersResponse = &pb.WatchWorkersResponse{
			Epoch:    f.epoch,
			Version:  f.view.Version,
			Snapshot: f.snapshot,
			Settled:  f.view.Settled,
			Workers:  toWorkers(f.view.Workers),
			Removed:  f.view.Removed,
		}
		f.encoded, f.err = proto.Marshal(f.WatchWorkersResponse)
		f.view.Workers, f.view.Removed = nil, nil
	})
	return f.err
}

// Codec makes a gRPC server send the bytes of a message for watchers as they are, without a copy for each: ten thousand
// watchers that do not read hold one snapshot, not ten thousand. All else is encoded as ever.
func Codec() grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{rpc.Codec()})
}

type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{f.encoded}, nil
	}
	return c.CodecV2.Marshal(v)
}
