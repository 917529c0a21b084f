package virtual

import (
	"strings"
	"testing"
	"testing/synctest"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestTheLargestSubmissionIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := Start(t, "hash")
		specs := make([]*pb.TaskSpec, 10_000)
		for i := range specs { // together just below the 16 MiB of a message
			specs[i] = &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 1660)}
		}
		for i, r := range submitAll(t, d.API(), specs...) {
			if r.Id != uint64(i+1) {
				t.Fatalf("task %d of 10,000: got %v", i, r)
			}
		}
	})
}
