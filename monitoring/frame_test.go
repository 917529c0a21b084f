package monitoring

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	pb "taskgrid/proto/taskgrid/v1"
)

// texts returns the numbers of those events in the ring whose text is made.
func (h *hub) texts() (made []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flow.mu.Lock()
	defer h.flow.mu.Unlock()
	for _, f := range h.flow.ring.frames {
		if f.made != nil {
			made = append(made, f.seq)
		}
	}
	return made
}

// TestOnlyEventsThatSomebodyWantsAreEncoded: a reader who filters out 99 of 100 costs one text of 100, and another who
// wants half of them costs that half.
func TestOnlyEventsThatSomebodyWantsAreEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const events, task = 100, 71 // each event is of the task that has its number; the even ones are of type sum
		g := newGrid(t, nsAddress)
		one := g.open(fmt.Sprintf("?since=0&task=%d", task), "")
		g.dispatcher.happen(events)
		one.events(1)
		synctest.Wait()
		if diff := cmp.Diff([]uint64{task}, g.rest.events.hub.texts()); diff != "" {
			t.Errorf("texts made for a reader of the events of task %d among %d (-want +got):\n%s", task, events, diff)
		}

		g.open("?since=0&type=sum", "").events(events / 2)
		synctest.Wait()
		if got := g.rest.events.hub.texts(); len(got) != 1+events/2 {
			t.Errorf("texts made for a reader of task %d and one of type sum: %d of %d events, want %d: %v", task, len(got), events, 1+events/2, got)
		}
	})
}

// TestAnEventIsEncodedOnceForAllReaders: a thousand who want it at the same time get the same bytes.
func TestAnEventIsEncodedOnceForAllReaders(t *testing.T) {
	frame := newFrame(&pb.Event{Sequence: 7, Time: timestamppb.Now(), What: &pb.Event_Task{Task: &pb.TaskEvent{Id: 3, Type: "hash"}}})
	texts := make([][]byte, 1000)
	var reading sync.WaitGroup
	for i := range texts {
		reading.Go(func() {
			var err error
			if texts[i], err = frame.text(); err != nil || len(texts[i]) == 0 {
				t.Errorf("reader %d: got %q, %v", i, texts[i], err)
			}
		})
	}
	reading.Wait()
	for i, text := range texts {
		if len(text) > 0 && &text[0] != &texts[0][0] {
			t.Fatalf("reader %d has a text of its own", i)
		}
	}
	if frame.event != nil {
		t.Error("the event is kept beside its text")
	}
}

// TestAFrameCostsAtLeastItsText, whatever stands in the event: the ring is bounded by that cost.
func TestAFrameCostsAtLeastItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.Rune(), 0, 2000, -1), rapid.StringMatching(`[\x00-\x1f"\\\x{2028}<]{0,500}`))
		draw := func(label string) string { return text.Draw(t, label) }
		number := rapid.Uint64()
		e := &pb.Event{Sequence: number.Draw(t, "sequence"), Time: &timestamppb.Timestamp{
			Seconds: rapid.Int64().Draw(t, "seconds"), Nanos: rapid.Int32().Draw(t, "nanos")}}
		if rapid.Bool().Draw(t, "of a task") {
			state := rapid.Map(rapid.Int32(), func(n int32) pb.TaskState { return pb.TaskState(n) })
			e.What = &pb.Event_Task{Task: &pb.TaskEvent{Id: number.Draw(t, "id"), Type: draw("type"), From: state.Draw(t, "from"), To: state.Draw(t, "to"),
				Attempt: rapid.Uint32().Draw(t, "attempt"), WorkerId: draw("worker"), Reason: draw("reason")}}
		} else {
			e.What = &pb.Event_Worker{Worker: &pb.WorkerEvent{WorkerId: draw("worker"), Aspect: draw("aspect"), From: draw("from"), To: draw("to"), Reason: draw("reason")}}
		}
		frame := newFrame(e)
		got, err := frame.text()
		if err != nil || len(got) > frame.cost {
			t.Fatalf("%d bytes of text, %v, of a frame that costs %d: %s", len(got), err, frame.cost, got)
		}
	})
}

func TestALongTextThatNeedsEscapingIsCounted(t *testing.T) {
	for _, char := range []string{"a", "\x00", "\x1f", "\x7f", `"`, `\`, "<", ">", "&", "é", "€", "\u2028", "\u2029", "\U0001F600"} {
		e := &pb.Event{Sequence: 1, What: &pb.Event_Task{Task: &pb.TaskEvent{Id: 1, Reason: strings.Repeat(char, 5000)}}}
		frame := newFrame(e)
		got, err := frame.text()
		if err != nil || len(got) > frame.cost {
			t.Errorf("%q: %d bytes of text, %v, of a frame that costs %d", char, len(got), err, frame.cost)
		}
		if char == "a" && frame.cost > len(got)+frameCost {
			t.Errorf("%q: a frame of %d bytes costs %d", char, len(got), frame.cost)
		}
	}
}
