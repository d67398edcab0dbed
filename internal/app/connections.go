package app

import (
	"net"
	"net/http"
	"sync"
)

// freshConnections are those that have not carried a request yet. http.Server's
// Shutdown waits 5 s for each of them, though nothing can be lost on one.
type freshConnections struct {
	mu    sync.Mutex
	known map[net.Conn]struct{}
}

// changed follows the life of connections.
func (f *freshConnections) changed(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateNew {
		delete(f.known, c)
		return
	}
	if f.known == nil {
		f.known = map[net.Conn]struct{}{}
	}
	f.known[c] = struct{}{}
}

// closeAll closes them.
func (f *freshConnections) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.known {
		_ = c.Close() // its server notices
	}
}
