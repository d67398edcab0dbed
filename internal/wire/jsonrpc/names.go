package jsonrpc

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// linearNames is how many names a [NameSet] compares one by one before it builds an index.
// Objects of the protocol have a dozen members; the index is for those who send a million.
const linearNames = 32

// NameSet finds object names that some parser takes for the same name.
//
// Names are compared after folding: without regard to case, by the simple folding of Unicode that
// encoding/json applies (so U+017F is an s and U+212A a k), and without underscores, since parsers of
// ProtoJSON take snake_case for camelCase. The zero value is an empty set.
type NameSet struct {
	arena []byte // the folded names, one behind the other
	ends  []int  // where each of them ends in arena
	index map[string]struct{}
}

// Add puts a name, without its quotes and escapes, into the set. It returns the folded name, which is
// valid until the next call, and whether the set had it already.
func (s *NameSet) Add(name []byte) (folded []byte, duplicate bool) {
	start := len(s.arena)
	s.arena = AppendFold(s.arena, name)
	folded = s.arena[start:]
	if s.has(folded) {
		s.arena = s.arena[:start]
		return folded, true
	}
	s.ends = append(s.ends, len(s.arena))
	if s.index != nil {
		s.index[string(folded)] = struct{}{}
	}
	return folded, false
}

func (s *NameSet) has(folded []byte) bool {
	if s.index == nil && len(s.ends) >= linearNames {
		s.index = make(map[string]struct{}, 2*len(s.ends))
		start := 0
		for _, end := range s.ends {
			s.index[string(s.arena[start:end])] = struct{}{}
			start = end
		}
	}
	if s.index != nil {
		_, ok := s.index[string(folded)]
		return ok
	}
	start := 0
	for _, end := range s.ends {
		if bytes.Equal(s.arena[start:end], folded) {
			return true
		}
		start = end
	}
	return false
}

// Reset empties the set and keeps its memory, unless that has become large.
func (s *NameSet) Reset() {
	if s.index != nil || cap(s.arena) > keptBytes {
		*s = NameSet{}
		return
	}
	s.arena, s.ends = s.arena[:0], s.ends[:0]
}

// shownName is how much of a name an error repeats. Whoever sends a body chooses its names, and errors are
// answered, logged and recorded.
const shownName = 40

// QuoteName returns an object name, in quotes and cut to a sensible length, for use in the text of an error.
func QuoteName(name []byte) string {
	if len(name) <= shownName {
		return strconv.Quote(string(name))
	}
	return strconv.Quote(string(name[:shownName])) + "…"
}

// AppendFold appends the folded form of an object name: upper case where there is one, no underscores.
// Two names that a lenient parser may take for each other have the same form.
func AppendFold(dst, name []byte) []byte {
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			if c != '_' {
				dst = append(dst, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(name[i:])
		dst = utf8.AppendRune(dst, foldRune(r))
		i += size
	}
	return dst
}

// foldRune returns the smallest rune that is equal to r under simple folding.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
