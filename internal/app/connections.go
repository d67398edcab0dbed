package app

import (
	"net"
	"net/http"
	"sync"
)

// freshConnections are those that have not carried a request yet. http.Server's
// Shutdown waits 5 s for each of them, though nothing can be lost on one.
type freshConnections struct {
	known sync.Map // net.Conn → nothing; asked at every request, so without a lock
}

// changed follows the life of connections.
func (f *freshConnections) changed(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		f.known.Store(c, nil)
		return
	}
	f.known.Delete(c)
}

// closeAll closes them.
func (f *freshConnections) closeAll() {
	f.known.Range(func(c, _ any) bool {
		_ = c.(net.Conn).Close() // its server notices
		return true
	})
}
