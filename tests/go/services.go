package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// running counts the calls that are open, and produced the messages that were sent.
var running, produced atomic.Int64

// serve answers every call but those about health: api.Api of protos/api.proto, and rich.Rich of
// tests/python/rich.proto, as tests/python/rich_server.py has it.
func serve(_ any, stream grpc.ServerStream) error {
	// Whoever sends compressed messages need not read any.
	if err := grpc.SetSendCompressor(stream.Context(), "identity"); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/api.Api/sayHello", "/api.Api/getAll", "/api.Api/getStream":
		return serveAPI(method, stream)
	case "/rich.Rich/State":
		if _, err := receive(stream); err != nil {
			return err
		}
		return send(stream, appendNumber(appendNumber(nil, 1, running.Load()), 2, produced.Load()))
	case "/rich.Rich/Unary", "/rich.Rich/ServerStream", "/rich.Rich/ClientStream", "/rich.Rich/Bidi":
		running.Add(1)
		defer running.Add(-1)
		return serveRich(method, stream)
	default:
		return status.Errorf(codes.Unimplemented, "there is no %s", method)
	}
}

func serveAPI(method string, stream grpc.ServerStream) error {
	message, err := receive(stream)
	if err != nil {
		return err
	}
	var name string
	var length, after int64
	fields(message, func(number protowire.Number, varint uint64, content []byte) {
		switch {
		case content != nil:
			name = string(content)
		case number == 1:
			length = int64(varint)
		case number == 2:
			after = int64(varint)
		}
	})
	if method == "/api.Api/sayHello" {
		return send(stream, appendBytes(nil, 1, fmt.Appendf(nil, "Hello %s!", name)))
	}
	if length < 0 || after < 0 {
		return status.Error(codes.InvalidArgument, "length and after are not negative")
	}
	var all []byte
	for id := after + 1; id <= after+length; id++ {
		item := appendBytes(appendNumber(nil, 1, id), 2, fmt.Appendf(nil, "name %d", id))
		if method == "/api.Api/getAll" {
			all = appendBytes(all, 1, item)
		} else if err := send(stream, item); err != nil {
			return err
		}
	}
	if method == "/api.Api/getAll" {
		return send(stream, all)
	}
	return nil
}

func serveRich(method string, stream grpc.ServerStream) error {
	first, err := receive(stream)
	if err != nil {
		return err
	}
	asked, asks := decodeAsk(first), 1
	if method == "/rich.Rich/ClientStream" {
		for receiveIfAny(stream) {
			asks++
		}
	}
	if asked.metadata {
		sent := metadata.Pairs(
			"x-text", "one", "x-text", "two", "x-empty", "",
			"x-data-bin", "\x00\xff\xfe", "x-data-bin", "", "x-data-bin", "\x01\x01\x01\x01\x01",
		)
		if err := stream.SendHeader(sent); err != nil {
			return err
		}
		stream.SetTrailer(sent)
	}
	isStream := method == "/rich.Rich/ServerStream" || method == "/rich.Rich/Bidi"
	for number := range asked.messages {
		if isStream {
			if err := send(stream, answerTo(asked, stream, number)); err != nil {
				return err
			}
		}
	}
	if asked.wait {
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	}
	if asked.code != 0 {
		return status.Error(codes.Code(asked.code), asked.text)
	}
	switch method {
	case "/rich.Rich/Unary":
		return send(stream, answerTo(asked, stream, max(asked.messages-1, 0)))
	case "/rich.Rich/ClientStream":
		return send(stream, answerTo(asked, stream, asks))
	case "/rich.Rich/Bidi":
		for receiveIfAny(stream) {
			if err := send(stream, answerTo(asked, stream, -1)); err != nil {
				return err
			}
		}
	}
	return nil
}

func answerTo(asked ask, stream grpc.ServerStream, number int) []byte {
	received, _ := metadata.FromIncomingContext(stream.Context())
	left := int64(-1)
	if deadline, isSet := stream.Context().Deadline(); isSet {
		left = time.Until(deadline).Milliseconds()
	}
	payload := asked.payload
	if len(payload) == 0 {
		payload = make([]byte, asked.messageBytes)
	}
	return encodeAnswer(number, payload, received, left)
}

func receive(stream grpc.ServerStream) (message []byte, err error) {
	err = stream.RecvMsg(&message)
	return message, err
}

func receiveIfAny(stream grpc.ServerStream) bool {
	_, err := receive(stream)
	return err == nil
}

func send(stream grpc.ServerStream, message []byte) error {
	produced.Add(1)
	return stream.SendMsg(&message)
}
