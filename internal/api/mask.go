package api

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// maskFields returns which of the allowed fields an update is to change: those that
// the mask names, every one of them for "*", and for an empty mask those that are
// set in the resource.
func maskFields(mask *fieldmaskpb.FieldMask, resource proto.Message, allowed []string) (map[string]bool, error) {
	fields := make(map[string]bool, len(allowed))
	if len(mask.GetPaths()) == 0 {
		m := resource.ProtoReflect()
		for _, name := range allowed {
			if m.Has(m.Descriptor().Fields().ByName(protoreflect.Name(name))) {
				fields[name] = true
			}
		}
		return fields, nil
	}
	for _, path := range mask.GetPaths() {
		if path == "*" {
			for _, name := range allowed {
				fields[name] = true
			}
			continue
		}
		if !slices.Contains(allowed, path) {
			return nil, &maskError{path: path, problem: `"` + path + `" does not exist or cannot be changed; allowed: ` + strings.Join(allowed, ", ")}
		}
		fields[path] = true
	}
	return fields, nil
}

// when returns a pointer to a value that an update is to set.
func when[T any](set bool, value T) *T {
	if !set {
		return nil
	}
	return &value
}
