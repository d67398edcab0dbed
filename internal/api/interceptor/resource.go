package interceptor

import (
	"cmp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// resourceOf returns the name of what a request is about, by the shapes that requests of
// each kind have here: "name"; the parent and the id of what is to be made; the name in
// the resource that is to be changed; the agent; the parent of a list; who is to hold a
// role. Empty when the
// request says none of these. What the caller gave is not checked.
func resourceOf(message any) string {
	m, ok := message.(proto.Message)
	if !ok || m == nil {
		return ""
	}
	msg := m.ProtoReflect()
	if name := text(msg, "name"); name != "" {
		return name
	}
	parent, id, kind, inner := text(msg, "parent"), "", "", ""
	creates := strings.HasPrefix(string(msg.Descriptor().Name()), "Create") || strings.HasPrefix(string(msg.Descriptor().Name()), "Import") ||
		strings.HasPrefix(string(msg.Descriptor().Name()), "Apply")
	for i := range msg.Descriptor().Fields().Len() {
		f := msg.Descriptor().Fields().Get(i)
		switch name := string(f.Name()); {
		case creates && f.Kind() == protoreflect.StringKind && !f.IsList() && strings.HasSuffix(name, "_id") && id == "":
			id, kind = msg.Get(f).String(), collectionOf(strings.TrimSuffix(name, "_id"))
		case f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && msg.Has(f) && inner == "":
			inner = text(msg.Get(f).Message(), "name")
		}
	}
	switch {
	case id != "" && parent != "":
		return parent + "/" + kind + "/" + id
	case id != "":
		return kind + "/" + id
	case inner != "":
		return inner
	case parent != "":
		return parent
	}
	return cmp.Or(text(msg, "agent"), text(msg, "member"))
}

// collectionOf returns the collection that resources of a kind are in.
func collectionOf(kind string) string {
	if stem, ok := strings.CutSuffix(kind, "y"); ok && kind != "key" {
		return stem + "ies"
	}
	return kind + "s"
}

// text returns a field that holds a text; empty when there is none.
func text(m protoreflect.Message, field protoreflect.Name) string {
	f := m.Descriptor().Fields().ByName(field)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return ""
	}
	return m.Get(f).String()
}
