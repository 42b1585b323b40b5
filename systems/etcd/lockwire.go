package etcd

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// The lock service is known to etcd's server module only, which would bring the whole server
// along. Its two calls have two fields each.

// field is one field of a message, bytes or a number.
type field struct {
	number protowire.Number
	bytes  []byte // nil: it is a number
	value  int64
}

// message is a message of the lock service.
type message struct{ fields []field }

// bytes returns the bytes of a field.
func (m message) bytes(number protowire.Number) []byte {
	for _, f := range m.fields {
		if f.number == number {
			return f.bytes
		}
	}
	return nil
}

// lockCodec writes and reads messages as protocol buffers do.
type lockCodec struct{}

// Name implements encoding.Codec: on the wire it is nothing else.
func (lockCodec) Name() string { return "proto" }

// Marshal implements encoding.Codec.
func (lockCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("%T is no message of the lock service", v)
	}
	var out []byte
	for _, f := range m.fields {
		if f.bytes != nil {
			out = protowire.AppendTag(out, f.number, protowire.BytesType)
			out = protowire.AppendBytes(out, f.bytes)
			continue
		}
		out = protowire.AppendTag(out, f.number, protowire.VarintType)
		out = protowire.AppendVarint(out, uint64(f.value))
	}
	return out, nil
}

// Unmarshal implements encoding.Codec.
func (lockCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("%T is no message of the lock service", v)
	}
	m.fields = nil
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return protowire.ParseError(n)
		}
		f := field{number: number}
		switch kind {
		case protowire.BytesType:
			b, _ := protowire.ConsumeBytes(data)
			f.bytes = append([]byte{}, b...)
		case protowire.VarintType:
			u, _ := protowire.ConsumeVarint(data)
			f.value = int64(u)
		}
		m.fields = append(m.fields, f)
		data = data[n:]
	}
	return nil
}

// lockCall waits for a lock and returns the key by which it is held.
func lockCall(
	ctx context.Context, conn *grpc.ClientConn, name string, lease int64,
) (key string, err error) {
	ask := message{[]field{{number: 1, bytes: []byte(name)}, {number: 2, value: lease}}}
	var got message
	err = conn.Invoke(ctx, "/v3lockpb.Lock/Lock", &ask, &got, grpc.ForceCodec(lockCodec{}))
	if err != nil {
		return "", err
	}
	if len(got.bytes(2)) == 0 {
		return "", errors.New("the answer names no key")
	}
	return string(got.bytes(2)), nil
}

// unlockCall gives a lock back.
func unlockCall(ctx context.Context, conn *grpc.ClientConn, key string) error {
	ask, got := message{[]field{{number: 1, bytes: []byte(key)}}}, message{}
	return conn.Invoke(ctx, "/v3lockpb.Lock/Unlock", &ask, &got, grpc.ForceCodec(lockCodec{}))
}
