package main

import (
	"io"
	"net/http"
	"time"
)

// readNothing answers at once and leaves the request where it is until the client is gone: what the client
// sends fills the windows.
func readNothing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// slow answers OK with an empty message after the time that the header x-slow says (100ms, 2s), one second
// without it, whether or not the client is still there: work that cannot be broken off.
func slow(w http.ResponseWriter, r *http.Request) {
	pause, err := time.ParseDuration(r.Header.Get("x-slow"))
	if err != nil {
		pause = time.Second
	}
	io.Copy(io.Discard, r.Body)
	time.Sleep(pause)
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	w.Write(make([]byte, 5))
}
