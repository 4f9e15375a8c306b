package main

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// bytesCodec passes messages as they are, so that no code is generated; health's are protobuf's.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(message any) ([]byte, error) {
	switch message := message.(type) {
	case *[]byte:
		return *message, nil
	case proto.Message:
		return proto.Marshal(message)
	default:
		return nil, fmt.Errorf("%T is no message", message)
	}
}

func (bytesCodec) Unmarshal(data []byte, message any) error {
	switch message := message.(type) {
	case *[]byte:
		*message = append([]byte(nil), data...)
		return nil
	case proto.Message:
		return proto.Unmarshal(data, message)
	default:
		return fmt.Errorf("%T is no message", message)
	}
}
