package a2a

import (
	"errors"
	"fmt"
	"slices"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

var errNotObject = errors.New("not an object")

// document is an object of JSON whose members can be changed one by one. What is not changed keeps its
// place and its bytes. Members are found by their folded name, since lenient parsers would take any
// spelling for the member; so what is set or removed is gone in every spelling.
type document struct{ members []documentMember }

type documentMember struct {
	folded string
	name   []byte // raw, with its quotes
	value  []byte // raw
}

// parseDocument reads the members of an object. Two members that fold to the same name are refused:
// nobody can tell which of them a reader takes.
func parseDocument(raw []byte) (document, error) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	var d document
	if !s.OpenObject() {
		if s.Value(); s.Err() != nil {
			return document{}, s.Err()
		}
		return document{}, errNotObject
	}
	for s.Next() {
		if s.Duplicate() {
			return document{}, fmt.Errorf("member %s is there twice, or in two spellings", jsonrpc.QuoteName(s.Name()))
		}
		at, end := s.NameOffset(), s.Offset()
		d.members = append(d.members, documentMember{string(s.Folded()), raw[at:end], s.Value()})
	}
	return d, s.End()
}

func (d *document) find(name string) int {
	folded := string(jsonrpc.AppendFold(nil, []byte(name)))
	return slices.IndexFunc(d.members, func(m documentMember) bool { return m.folded == folded })
}

// get returns the raw value of a member, nil when it is absent or null.
func (d *document) get(name string) []byte {
	i := d.find(name)
	if i < 0 || isNull(d.members[i].value) {
		return nil
	}
	return d.members[i].value
}

// has reports whether there is a member, null or not.
func (d *document) has(name string) bool { return d.find(name) >= 0 }

// text returns a member that is a string, "" for anything else.
func (d *document) text(name string) string {
	text, _ := jsonrpc.Unquote(d.get(name))
	return text
}

// flag returns whether a member is true.
func (d *document) flag(name string) bool { return string(d.get(name)) == "true" }

// elements returns the raw elements of a member that is an array, none for anything else.
func (d *document) elements(name string) [][]byte {
	s := jsonrpc.NewReplyScanner(d.get(name))
	defer s.Release()
	if !s.OpenArray() {
		return nil
	}
	var elements [][]byte
	for s.More() {
		elements = append(elements, s.Value())
	}
	return elements
}

// set gives a member a value, at its old place if it has one, and the given spelling.
func (d *document) set(name string, value []byte) {
	quoted := jsonrpc.AppendString(nil, name)
	if i := d.find(name); i >= 0 {
		d.members[i].name, d.members[i].value = quoted, value
		return
	}
	d.members = append(d.members, documentMember{string(jsonrpc.AppendFold(nil, []byte(name))), quoted, value})
}

// remove takes members away.
func (d *document) remove(names ...string) {
	for _, name := range names {
		if i := d.find(name); i >= 0 {
			d.members = slices.Delete(d.members, i, i+1)
		}
	}
}

func (d *document) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range d.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.name...)
		dst = append(dst, ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

// array returns an array of raw elements.
func array(elements [][]byte) []byte {
	dst := []byte{'['}
	for i, element := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, element...)
	}
	return append(dst, ']')
}
