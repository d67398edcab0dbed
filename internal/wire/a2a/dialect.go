package a2a

import "strings"

// Binding is how messages travel.
type Binding uint8

// The bindings that the gateway speaks. The zero Binding is none.
const (
	JSONRPC Binding = 1 + iota
	REST
	GRPC
)

// String returns the name that cards have for the binding.
func (b Binding) String() string {
	switch b {
	case JSONRPC:
		return BindingJSONRPC
	case REST:
		return BindingREST
	case GRPC:
		return BindingGRPC
	}
	return ""
}

// ParseBinding reads the name that a card has for a binding. It returns false for
// bindings that the gateway does not speak.
func ParseBinding(name string) (Binding, bool) {
	switch name {
	case BindingJSONRPC:
		return JSONRPC, true
	case BindingREST:
		return REST, true
	case BindingGRPC:
		return GRPC, true
	}
	return 0, false
}

// Dialect is a binding in a version: what one side of a call speaks.
type Dialect struct {
	Binding Binding
	Version Version
}

// Dialects are all dialects, best first: newest version, then the binding that most
// clients have.
var Dialects = [...]Dialect{
	{JSONRPC, V10}, {REST, V10}, {GRPC, V10}, {JSONRPC, V03}, {REST, V03}, {GRPC, V03},
}

// String returns the dialect as records and settings have it, "HTTP+JSON/0.3".
func (d Dialect) String() string {
	// Every call writes it, so it is not put together each time.
	switch d {
	case Dialect{JSONRPC, V10}:
		return BindingJSONRPC + "/1.0"
	case Dialect{JSONRPC, V03}:
		return BindingJSONRPC + "/0.3"
	case Dialect{REST, V10}:
		return BindingREST + "/1.0"
	case Dialect{REST, V03}:
		return BindingREST + "/0.3"
	case Dialect{GRPC, V10}:
		return BindingGRPC + "/1.0"
	case Dialect{GRPC, V03}:
		return BindingGRPC + "/0.3"
	}
	return ""
}

// ParseDialect reads what [Dialect.String] returns.
func ParseDialect(text string) (Dialect, bool) {
	binding, version, _ := strings.Cut(text, "/")
	b, ok := ParseBinding(binding)
	if !ok {
		return Dialect{}, false
	}
	v, ok := ParseVersion(version)
	return Dialect{b, v}, ok && version == v.String()
}
