package rpc

import (
	"context"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What a caller sends and cannot be read is the caller's mistake. grpc-go answers it with INTERNAL as soon as the codec
// fails, before any interceptor runs. So the codec does not fail: a server reads into an incoming, in which the codec notes
// what is wrong, and answers INVALID_ARGUMENT with the name of the field.

// incoming is a message that a server reads.
type incoming struct {
	message any
	err     error // why it cannot be read
}

// receive reads a message with grpc-go's read.
func receive(read func(any) error, message any) error {
	in := incoming{message: message}
	if err := read(&in); err != nil {
		return err
	}
	if in.err != nil {
		return status.Error(codes.InvalidArgument, in.err.Error())
	}
	return nil
}

// RecvMsg implements grpc.ServerStream.
func (s idStream) RecvMsg(m any) error { return receive(s.ServerStream.RecvMsg, m) }

// Server is a grpc.Server that answers messages which cannot be read with INVALID_ARGUMENT.
type Server struct{ *grpc.Server }

// RegisterService implements grpc.ServiceRegistrar.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	checked := *desc
	checked.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		checked.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName,
			Handler: func(srv any, ctx context.Context, read func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				return m.Handler(srv, ctx, func(v any) error { return receive(read, v) }, interceptor)
			}}
	}
	s.Server.RegisterService(&checked, impl)
}

// Codec is the codec of all messages: it is compatible with grpc-go's, and takes code that was generated for ours (see
// generated). It also sends what is Encoded, reads an incoming, and names the text that is not valid UTF-8.
// A server made by NewServer may use another one if that passes on to this what it does not know.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(protocodec.Name)} }

type codec struct{ encoding.CodecV2 }

// Encoded is a message in its encoded form, which is sent as it is. A stream of any message takes it in SendMsg.
type Encoded []byte

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(Encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(e)}, nil
	}
	if m, ok := v.(generated); ok {
		if data, ok := marshal(m); ok {
			return data, nil
		}
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.read(data, v)
	}
	in.err = c.read(data, in.message)
	return nil
}

func (c codec) read(data mem.BufferSlice, v any) error {
	if m, ok := v.(generated); ok && unmarshal(data, m) {
		return nil
	}
	err := c.CodecV2.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	m, ok := v.(proto.Message)
	if !ok {
		return err
	}
	desc := m.ProtoReflect().Descriptor()
	if field := invalidText(desc, data.Materialize(), maxNesting); field != "" {
		return fmt.Errorf("%s: must be valid UTF-8", field)
	}
	return fmt.Errorf("the message is not a %s: %w", desc.FullName(), err)
}

// maxNesting is how deep invalidText looks; no message of the contract is as deep.
const maxNesting = 16

// invalidText returns the path of the first text in an encoded message that is not valid UTF-8; "" if there is none, or
// if the message is broken before it.
func invalidText(desc protoreflect.MessageDescriptor, data []byte, depth int) string {
	for len(data) > 0 && depth > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return ""
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return ""
		}
		value := data[n : n+size]
		data = data[n+size:]
		field := desc.Fields().ByNumber(number)
		if field == nil || kind != protowire.BytesType {
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		switch field.Kind() {
		case protoreflect.StringKind:
			if !utf8.Valid(content) {
				return string(field.Name())
			}
		case protoreflect.MessageKind:
			if inner := invalidText(field.Message(), content, depth-1); inner != "" {
				return string(field.Name()) + "." + inner
			}
		}
	}
	return ""
}
