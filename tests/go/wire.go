package main

import (
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// fields calls found with each field of a message; varint has the number of one that is a number, and
// content the bytes of one that is bytes.
func fields(message []byte, found func(number protowire.Number, varint uint64, content []byte)) {
	for len(message) > 0 {
		number, kind, read := protowire.ConsumeTag(message)
		if read < 0 {
			return
		}
		message = message[read:]
		switch kind {
		case protowire.VarintType:
			varint, read := protowire.ConsumeVarint(message)
			if read < 0 {
				return
			}
			found(number, varint, nil)
			message = message[read:]
		case protowire.BytesType:
			content, read := protowire.ConsumeBytes(message)
			if read < 0 {
				return
			}
			found(number, 0, content)
			message = message[read:]
		default:
			return
		}
	}
}

// ask is rich.Ask of tests/python/rich.proto.
type ask struct {
	messages, messageBytes, code int
	text                         string
	wait, metadata               bool
	payload                      []byte
}

func decodeAsk(message []byte) (decoded ask) {
	fields(message, func(number protowire.Number, varint uint64, content []byte) {
		switch number {
		case 1:
			decoded.messages = int(varint)
		case 2:
			decoded.messageBytes = int(varint)
		case 3:
			decoded.code = int(varint)
		case 4:
			decoded.text = string(content)
		case 6:
			decoded.wait = varint != 0
		case 7:
			decoded.metadata = varint != 0
		case 8:
			decoded.payload = content
		}
	})
	return decoded
}

// encodeAnswer makes a rich.Answer.
func encodeAnswer(number int, payload []byte, received metadata.MD, leftMilliseconds int64) []byte {
	message := appendNumber(nil, 1, int64(number))
	message = appendBytes(message, 2, payload)
	names := make([]string, 0, len(received))
	for name := range received {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range received[name] {
			entry := appendBytes(nil, 1, []byte(strings.ToLower(name)))
			message = appendBytes(message, 3, appendBytes(entry, 2, []byte(value)))
		}
	}
	return appendNumber(message, 4, leftMilliseconds)
}

func appendNumber(message []byte, field protowire.Number, number int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(message, field, protowire.VarintType), uint64(number))
}

func appendBytes(message []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, field, protowire.BytesType), content)
}
