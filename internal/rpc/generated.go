package rpc

import (
	"reflect"
	"sync"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// generated is a message for which vtprotobuf has generated code. It takes half the time of what package proto does by
// tables; but it lets a text through that is not valid UTF-8, so that texts are checked here. Whatever is odd is left to
// package proto, which says what it is.
type generated interface {
	proto.Message
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVT([]byte) error
}

// marshal returns the encoded message; false: package proto is to do it.
func marshal(m generated) (mem.BufferSlice, bool) {
	size := m.SizeVT()
	if kept := m.ProtoReflect().GetUnknown(); size > 0 && len(kept) == size {
		return mem.BufferSlice{mem.SliceBuffer(kept)}, true // fields that a message does not know are sent as they came
	}
	data, buffer := []byte(nil), mem.Buffer(nil)
	if mem.IsBelowBufferPoolingThreshold(size) {
		data = make([]byte, size)
		buffer = mem.SliceBuffer(data)
	} else {
		pool := mem.DefaultBufferPool()
		pooled := pool.Get(size)
		data, buffer = *pooled, mem.NewBuffer(pooled, pool)
	}
	if n, err := m.MarshalToSizedBufferVT(data[:size]); err != nil || n != size || !textsOf(m).valid(data[:size]) {
		buffer.Free()
		return nil, false
	}
	return mem.BufferSlice{buffer}, true
}

// unmarshal reads a message; false: package proto is to do it. What was in the message before is gone, as with package proto.
func unmarshal(data mem.BufferSlice, m generated) bool {
	proto.Reset(m)
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	return textsOf(m).valid(buffer.ReadOnlyData()) && m.UnmarshalVT(buffer.ReadOnlyData()) == nil
}

// texts says where a message has texts: for each field by its number, what is in it.
type texts struct{ fields []content }

// content is what a field holds.
type content struct {
	text    bool
	packed  bool   // a list of numbers, which may come in one piece
	message *texts // of a field with a message, or with the entries of a map
}

var known sync.Map // *texts by the messages' Go type

func textsOf(m proto.Message) *texts {
	typ := reflect.TypeOf(m)
	if t, ok := known.Load(typ); ok {
		return t.(*texts)
	}
	t := newTexts(m.ProtoReflect().Descriptor(), map[protoreflect.FullName]*texts{})
	known.Store(typ, t)
	return t
}

// newTexts makes the table of a message and of those in it; made has those that are begun.
func newTexts(desc protoreflect.MessageDescriptor, made map[protoreflect.FullName]*texts) *texts {
	if t := made[desc.FullName()]; t != nil {
		return t
	}
	t := new(texts)
	made[desc.FullName()] = t
	for i := range desc.Fields().Len() {
		f := desc.Fields().Get(i)
		for len(t.fields) <= int(f.Number()) {
			t.fields = append(t.fields, content{})
		}
		t.fields[f.Number()].packed = f.IsPacked()
		switch f.Kind() {
		case protoreflect.StringKind:
			t.fields[f.Number()].text = true
		case protoreflect.MessageKind:
			t.fields[f.Number()].message = newTexts(f.Message(), made)
		}
	}
	return t
}

// valid tells whether an encoded message can be read as far as its fields, and all texts in it are valid UTF-8.
func (t *texts) valid(data []byte) bool {
	for len(data) > 0 {
		number, kind, n := consumeTag(data)
		if n < 0 || number > protowire.MaxValidNumber {
			return false
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = consumeValue(number, kind, data); n < 0 {
				return false
			}
			data = data[n:]
			continue
		}
		inside, n := consumeBytes(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		if int(number) >= len(t.fields) {
			continue
		}
		c := t.fields[number]
		if c.text && !utf8.Valid(inside) || c.packed && !varints(inside) || c.message != nil && !c.message.valid(inside) {
			return false
		}
	}
	return true
}

// varints tells whether there are whole numbers of at most 64 bits only. The generated code drops what is above, and reads
// the last one on behind the end of the list.
func varints(data []byte) bool {
	for len(data) > 0 {
		_, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return false
		}
		data = data[n:]
	}
	return true
}

// The next three do what those of package protowire do, and quickly what is most frequent: numbers of fields up to 15, and
// values and lengths below 128, of one byte each.

func consumeTag(data []byte) (protowire.Number, protowire.Type, int) {
	if tag := data[0]; 1<<3 <= tag && tag < 0x80 {
		return protowire.Number(tag >> 3), protowire.Type(tag & 7), 1
	}
	return protowire.ConsumeTag(data)
}

func consumeValue(number protowire.Number, kind protowire.Type, data []byte) int {
	if kind == protowire.VarintType && len(data) > 0 && data[0] < 0x80 {
		return 1
	}
	return protowire.ConsumeFieldValue(number, kind, data)
}

func consumeBytes(data []byte) ([]byte, int) {
	if len(data) > 0 && data[0] < 0x80 && len(data) > int(data[0]) {
		n := 1 + int(data[0])
		return data[1:n], n
	}
	return protowire.ConsumeBytes(data)
}
