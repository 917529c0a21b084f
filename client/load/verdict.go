package load

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// Verdict is how the end of a task compares with what was expected.
type Verdict string

const (
	OK         Verdict = "ok"         // as expected
	Refused    Verdict = "refused"    // the grid had no room for it and said so: no fault, and nothing to compare
	Unexpected Verdict = "UNEXPECTED" // anything else
)

// judge compares the end of a task with its case. Why says in words what is wrong; "" if nothing is.
func judge(c Case, f client.Finished) (v Verdict, why string) {
	var refused *client.RefusedError
	switch task := f.Task; {
	case errors.As(f.Err, &refused) && refused.Code == codes.ResourceExhausted:
		return Refused, f.Err.Error()
	case f.Err != nil:
		return Unexpected, "refused: " + f.Err.Error()
	case task.Type != c.Type:
		return Unexpected, fmt.Sprintf("the answer is about a task of type %q", task.Type)
	case c.Bad:
		return judgeBad(c, task)
	case task.State != pb.TaskState_TASK_STATE_COMPLETED:
		return Unexpected, fmt.Sprintf("%s: %s", state(task), task.Error)
	case task.Result == nil:
		return Unexpected, "COMPLETED without a result"
	case task.GetResult() != c.Want:
		return Unexpected, fmt.Sprintf("result %q, want %q", task.GetResult(), c.Want)
	}
	return OK, ""
}

func judgeBad(c Case, task *pb.Task) (v Verdict, why string) {
	switch {
	case task.State != pb.TaskState_TASK_STATE_FAILED:
		return Unexpected, fmt.Sprintf("%s with result %q, want FAILED: the payload is bad", state(task), task.GetResult())
	case task.Error == "":
		return Unexpected, "FAILED without saying why"
	case !strings.Contains(task.Error, c.Piece):
		return Unexpected, fmt.Sprintf("error %q does not name %q", task.Error, c.Piece)
	case task.Attempts != 1:
		return Unexpected, fmt.Sprintf("a bad payload took %d attempts, want 1", task.Attempts)
	}
	return OK, ""
}
