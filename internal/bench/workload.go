package bench

import (
	"fmt"
	"slices"
	"strings"
)

// kind says how the calls of a workload look.
type kind string

const (
	kindUnary  kind = "unary"
	kindStream kind = "stream"
	kindParked kind = "parked"
	// kindTranslation is many small loads of its own.
	kindTranslation kind = "translation"
)

// workload is one way of loading a target.
type workload struct {
	name  string
	title string
	kind  kind
	mode  string // what the agent is asked to do
	size  int    // of the request body in bytes, about
	conns int
	open  bool // constant rate instead of one call after the other
}

// Names of the workloads that the goals refer to.
const (
	loadUnaryOne    = "unary-1k-c1"
	loadUnaryMany   = "unary-1k-c32"
	loadStream      = "stream-64"
	loadStreamPaced = "stream-64-paced"
	loadParked      = "parked"
	loadTranslation = "translation"
)

const (
	openLoopConns = 64
	pacedConns    = 8
	streamSize    = 512
)

func workloads() []workload {
	return []workload{
		{name: loadParked, title: "parked streams, memory", kind: kindParked, mode: modePark, size: streamSize},
		{name: loadUnaryOne, title: "SendMessage of 1 KB, 1 connection, closed loop", kind: kindUnary, mode: modeEcho, size: 1 << 10, conns: 1},
		{name: loadUnaryMany, title: "SendMessage of 1 KB, 32 connections, closed loop", kind: kindUnary, mode: modeEcho, size: 1 << 10, conns: 32},
		{name: "unary-64k-c1", title: "SendMessage of 64 KB, 1 connection, closed loop", kind: kindUnary, mode: modeEcho, size: 64 << 10, conns: 1},
		{name: "unary-64k-c32", title: "SendMessage of 64 KB, 32 connections, closed loop", kind: kindUnary, mode: modeEcho, size: 64 << 10, conns: 32},
		{name: "unary-1k-open", title: "SendMessage of 1 KB, constant rate, latency from the intended start", kind: kindUnary, mode: modeEcho, size: 1 << 10, conns: openLoopConns, open: true},
		{name: loadStream, title: fmt.Sprintf("stream of %d events sent at once, 1 connection", streamEvents), kind: kindStream, mode: modeBurst, size: streamSize, conns: 1},
		{name: loadStreamPaced, title: fmt.Sprintf("stream of %d events, one each %v, %d connections", streamEvents, eventPause, pacedConns), kind: kindStream, mode: modePace, size: streamSize, conns: pacedConns},
		{name: loadTranslation, title: "every caller with every agent", kind: kindTranslation},
	}
}

// Workloads returns the names of all workloads in the order in which they run.
func Workloads() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return names
}

// selectWorkloads returns the named ones in the order in which they run; no
// names mean all.
func selectWorkloads(names []string) ([]workload, error) {
	if len(names) == 0 {
		return workloads(), nil
	}
	for _, name := range names {
		if !slices.Contains(Workloads(), name) {
			return nil, fmt.Errorf("unknown workload %q: choose from %s", name, strings.Join(Workloads(), ", "))
		}
	}
	return slices.DeleteFunc(workloads(), func(w workload) bool { return !slices.Contains(names, w.name) }), nil
}
