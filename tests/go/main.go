// Command backends is a gRPC backend written in Go: it prints its port, and serves on loopback until it is
// killed.
//
// Options: --server grpc for grpc-go's own transport, --server http for net/http, as connect-go has it;
// --port PORT; --max-streams N for the streams that a connection may have open.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // for messages that come compressed
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	kind := flag.String("server", "grpc", "grpc or http")
	port := flag.Int("port", 0, "the port on loopback; 0 for any")
	maxStreams := flag.Uint("max-streams", 250, "streams that a connection may have open")
	flag.Parse()

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(bytesCodec{}),
		grpc.UnknownServiceHandler(serve),
		grpc.MaxConcurrentStreams(uint32(*maxStreams)),
	)
	healthpb.RegisterHealthServer(server, health.NewServer())

	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if *kind == "http" {
		log.Fatal(overNetHTTP(server, int(*maxStreams)).Serve(listener))
	}
	log.Fatal(server.Serve(listener))
}

// overNetHTTP answers what it can by itself, and the rest by server.
func overNetHTTP(server http.Handler, maxStreams int) *http.Server {
	handler := http.NewServeMux()
	handler.HandleFunc("/test.Http/ReadNothing", readNothing)
	handler.HandleFunc("/test.Http/Slow", slow)
	handler.Handle("/", server)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:   handler,
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
}
