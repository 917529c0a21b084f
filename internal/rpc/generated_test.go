package rpc

import (
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"

	pb "taskgrid/proto/taskgrid/v1"
)

// messages are empty ones of all types of the contract.
func messages() (list []proto.Message) {
	protoregistry.GlobalTypes.RangeMessages(func(typ protoreflect.MessageType) bool {
		if typ.Descriptor().ParentFile().Package() == "taskgrid.v1" && !typ.Descriptor().IsMapEntry() {
			list = append(list, typ.New().Interface())
		}
		return true
	})
	return list
}

// fill draws the fields of a message, some of them.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && depth == 0 || !rapid.Bool().Draw(t, string(f.Name())) {
			continue
		}
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(drawn(t, f.MapKey(), nil, 0).MapKey(), drawn(t, f.MapValue(), nil, 0))
		case f.IsList():
			list := m.Mutable(f).List()
			for range rapid.IntRange(1, 3).Draw(t, "n") {
				list.Append(drawn(t, f, list.NewElement, depth))
			}
		default:
			m.Set(f, drawn(t, f, func() protoreflect.Value { return m.NewField(f) }, depth))
		}
	}
}

// drawn draws the value of a field.
func drawn(t *rapid.T, f protoreflect.FieldDescriptor, empty func() protoreflect.Value, depth int) protoreflect.Value {
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.MessageKind:
		v := empty()
		fill(t, v.Message(), depth-1)
		return v
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, name))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(t, name)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, name))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, name))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, name))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, name))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(t, name) + 0) // 0 for -0, which is sent as 0
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64().Draw(t, name) + 0)
	}
	t.Fatalf("%s: no values of kind %v are drawn", f.FullName(), f.Kind())
	return protoreflect.Value{}
}

// TestMessagesTravelAsWithPackageProto: of every type, what our codec writes package proto reads as the same, and the other
// way round; and the generated code does it, nothing is left over.
func TestMessagesTravelAsWithPackageProto(t *testing.T) {
	for _, empty := range messages() {
		t.Run(string(empty.ProtoReflect().Descriptor().Name()), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := proto.Clone(empty)
				fill(t, m.ProtoReflect(), 3)
				written, ok := marshal(m.(generated))
				if !ok {
					t.Fatalf("%v was not written", m)
				}
				read := proto.Clone(empty)
				if err := proto.Unmarshal(written.Materialize(), read); err != nil || !proto.Equal(read, m) {
					t.Fatalf("written %v, package proto reads %v, error %v", m, read, err)
				}
				data, err := proto.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				read = proto.Clone(empty)
				if !unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, read.(generated)) || !proto.Equal(read, m) {
					t.Fatalf("package proto wrote %v, read was %v", m, read)
				}
			})
		})
	}
}

func TestATextThatIsNotUTF8IsNeitherWrittenNorRead(t *testing.T) {
	bad := "a\xffb"
	for name, m := range map[string]proto.Message{
		"a field":             &pb.Task{Payload: bad},
		"an optional field":   &pb.Task{Result: &bad},
		"a list":              &pb.Worker{Types: []string{"good", bad}},
		"the key of a map":    &pb.TaskSpec{Labels: map[string]string{bad: "good"}},
		"the value of a map":  &pb.TaskSpec{Labels: map[string]string{"good": bad}},
		"a message in it":     &pb.RunTasksRequest{Tasks: []*pb.RunTask{{Spec: &pb.TaskSpec{Payload: "good"}}, {Spec: &pb.TaskSpec{Payload: bad}}}},
		"a large message":     &pb.RunTasksRequest{Tasks: []*pb.RunTask{{Spec: &pb.TaskSpec{Payload: string(make([]byte, 100_000)) + bad}}}},
		"a message inside it": &pb.ProcessResponse{Outcomes: []*pb.Outcome{{Error: &pb.OutcomeError{Message: bad}}}},
	} {
		if data, err := Codec().Marshal(m); err == nil {
			t.Errorf("in %s: written as %q, want an error", name, data.Materialize())
		}
		data, err := m.(interface{ MarshalVT() ([]byte, error) }).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		proto.Reset(m)
		if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m); err == nil {
			t.Errorf("in %s: read as %v, want an error", name, m)
		}
	}
}

func TestAMessageThatWasReadIntoBeforeHoldsTheLastOnly(t *testing.T) {
	data, err := proto.Marshal(&pb.GetTasksRequest{Ids: []uint64{3}})
	if err != nil {
		t.Fatal(err)
	}
	m := &pb.GetTasksRequest{Ids: []uint64{1, 2}}
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m); err != nil || !slices.Equal(m.Ids, []uint64{3}) {
		t.Errorf("got %v, %v, want 3 alone", m.Ids, err)
	}
}

// A message of fields that it does not know is what the name service keeps an answer in.
func TestFieldsThatAreNotKnownTravelAsTheyCame(t *testing.T) {
	kept := []byte("\x0a\x02hi\x12\x01\xff") // as text, the last one would not be valid
	for _, m := range messages() {
		m.ProtoReflect().SetUnknown(kept)
		if sent, err := Codec().Marshal(m); err != nil || string(sent.Materialize()) != string(kept) {
			t.Errorf("%T: sent as %q (%v), want %q", m, sent.Materialize(), err, kept)
		}
	}
	m := &pb.LookupWorkersResponse{}
	m.ProtoReflect().SetUnknown(make([]byte, 1<<10))
	if n := testing.AllocsPerRun(100, func() { _, _ = Codec().Marshal(m) }); n > 2 {
		t.Errorf("%v allocations to send 1 KiB that is kept, want at most 2: no copy", n)
	}
}

// FuzzRead: whatever comes, our codec takes and refuses what package proto takes and refuses, and reads the same. Of fields
// that nobody knows it keeps none within a time; nobody asks for them.
func FuzzRead(f *testing.F) {
	list := messages()
	for i, m := range list {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint(i), append(data, 0x0a, 0x02, 'h', 'i', 0x10, 0x80, 0x01))
		f.Add(uint(i), []byte("\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")) // a list of a number of 70 bits
		f.Add(uint(i), []byte("\x0a\x020\xdf1\xf5\xfc\xd900000"))                  // a list whose last number goes on behind it
	}
	f.Fuzz(func(t *testing.T, which uint, data []byte) {
		empty := list[which%uint(len(list))]
		ours, theirs := proto.Clone(empty), proto.Clone(empty)
		ourErr := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, ours)
		theirErr := proto.Unmarshal(data, theirs)
		if (ourErr == nil) != (theirErr == nil) {
			t.Fatalf("%q as %T: ours says %v, package proto %v", data, empty, ourErr, theirErr)
		}
		if a, b := encoded(t, ours), encoded(t, theirs); ourErr == nil && a != b { // not proto.Equal: it takes NaN for no number, itself included
			t.Fatalf("%q as %T: read as %v, by package proto as %v", data, empty, ours, theirs)
		}
	})
}

// encoded returns the known fields of a message in the one form that is the same for equal ones.
func encoded(t *testing.T, m proto.Message) string {
	data, err := proto.Marshal(m)
	known := m.ProtoReflect().New().Interface()
	if err == nil {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, known)
	}
	if err == nil {
		data, err = proto.MarshalOptions{Deterministic: true}.Marshal(known)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
