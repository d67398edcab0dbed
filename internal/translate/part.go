package translate

import (
	"bytes"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

const (
	// PartFieldsKey is the member of a part's metadata that keeps what version 0.3 has no field for: the
	// file name and media type of a text or data part, as {"filename":…,"mediaType":…}. It is made on the
	// way to 0.3 and taken out again on the way back.
	PartFieldsKey = "https://signalbox.dev/extensions/part-fields/v1"

	// dataCompatKey marks data that is no object, which 0.3 cannot have: it then stands in {"value":…}.
	dataCompatKey = "data_part_compat"
)

// part is what a part is made of, whatever its form. Nil stands for a member that is missing or null.
type part struct {
	text, raw, url, data []byte
	nullData             bool // data is there and null
	file                 bool
	filename, mediaType  []byte
	metadata             []byte
	merged               bool // unknown members come from more than one object
}

// parts translates the array of parts that comes next.
func (t *translator) parts() {
	if !t.openArray("parts") {
		return
	}
	t.out = append(t.out, '[')
	for t.more() {
		t.part()
	}
	t.out = append(t.out, ']')
}

func (t *translator) part() {
	if !t.open("a part") {
		return
	}
	var p part
	base := len(t.unknown)
	for t.next() {
		t.partMember(&p)
	}
	if t.err != nil {
		return
	}
	contents := 0
	for _, there := range [...]bool{p.text != nil, p.raw != nil, p.url != nil, p.data != nil} {
		if there {
			contents++
		}
	}
	if contents > 1 {
		t.fail("a part is several things at once")
		return
	}
	switch {
	case contents == 0 && p.nullData:
		p.data = []byte("null")
	case contents == 0 && p.file:
		p.raw = []byte(`""`)
	}
	if p.raw != nil && p.raw[0] != '"' {
		t.fail("the bytes of a file are not a string")
		return
	}
	t.out = append(t.out, '{')
	if t.to == JSON10 {
		t.restoreFields(&p)
		t.writeNewPart(&p)
	} else {
		t.stashFields(&p)
		t.writeOldPart(&p)
	}
	t.put("metadata", p.metadata)
	t.writeUnknown(base, p.merged, nil)
	t.out = append(t.out, '}')
}

func (t *translator) partMember(p *part) {
	newer := t.from == JSON10
	switch name := string(t.s.Folded()); {
	case name == "KIND":
		t.drop()
	case name == "TEXT":
		p.text = t.gather()
	case name == "METADATA":
		p.metadata = t.gather()
	case name == "DATA":
		t.dataMember(p)
	case name == "FILE" && !newer:
		t.fileMember(p)
	case name == "RAW" && newer:
		p.raw = t.gather()
	case name == "URL" && newer:
		p.url = t.gather()
	case name == "FILENAME" && newer:
		p.filename = t.gather()
	case name == "MEDIATYPE" && newer:
		p.mediaType = t.gather()
	case ofPart(name):
		t.drop() // a word of the other version
	default:
		t.remember()
	}
}

// ofPart reports whether some version has a member of a part by that folded name.
func ofPart(folded string) bool {
	switch folded {
	case "KIND", "TEXT", "FILE", "DATA", "RAW", "URL", "FILENAME", "MEDIATYPE", "METADATA":
		return true
	}
	return false
}

// dataMember reads data, which the 0.3 ProtoJSON form has in a message of its own.
func (t *translator) dataMember(p *part) {
	if t.s.Kind() == 'n' && t.from != REST03 && !t.s.Duplicate() {
		p.nullData = true
	}
	if t.from != REST03 {
		p.data = t.gather()
		return
	}
	if !t.take() || !t.open("data") {
		return
	}
	inner := []byte(nil)
	for t.next() {
		if string(t.s.Folded()) == "DATA" {
			inner = t.gather()
			continue
		}
		t.rememberInner(p)
	}
	if inner == nil {
		inner = []byte("{}")
	}
	p.data = inner
}

func (t *translator) fileMember(p *part) {
	if !t.take() || !t.open("file") {
		return
	}
	p.file = true
	var withBytes, withURI []byte
	for t.next() {
		switch string(t.s.Folded()) {
		case "BYTES":
			p.raw = t.gather()
		case "FILEWITHBYTES":
			withBytes = t.gather()
		case "URI":
			p.url = t.gather()
		case "FILEWITHURI":
			withURI = t.gather()
		case "NAME":
			p.filename = t.gather()
		case "MIMETYPE":
			p.mediaType = t.gather()
		default:
			t.rememberInner(p)
		}
	}
	if (p.raw != nil && withBytes != nil) || (p.url != nil && withURI != nil) {
		t.fail("a file has its content twice")
		return
	}
	if withBytes != nil {
		p.raw = withBytes
	}
	if withURI != nil {
		p.url = withURI
	}
}

// rememberInner puts a member of an object inside the part aside, to become one of the part.
func (t *translator) rememberInner(p *part) {
	if ofPart(string(t.s.Folded())) {
		t.drop()
		return
	}
	p.merged = true
	t.remember()
}

// writeNewPart writes content as version 1.0 has it, flat.
func (t *translator) writeNewPart(p *part) {
	t.put("text", p.text)
	t.put("url", p.url)
	t.put("data", p.data)
	if p.raw != nil {
		t.key("raw")
		t.fileBytes(p.raw)
	}
	t.put("filename", p.filename)
	t.put("mediaType", p.mediaType)
}

// writeOldPart writes content as version 0.3 has it.
func (t *translator) writeOldPart(p *part) {
	plain := t.to == JSON03
	switch {
	case p.text != nil:
		if plain {
			t.write(`"kind":"text"`)
		}
		t.put("text", p.text)
	case p.data != nil:
		if plain {
			t.write(`"kind":"data"`)
		}
		t.key("data")
		if !plain {
			t.write(`{"data":`)
		}
		if p.data[0] == '{' {
			t.out = append(t.out, p.data...)
		} else {
			t.write(`{"value":`)
			t.out = append(t.out, p.data...)
			t.out = append(t.out, '}')
		}
		if !plain {
			t.out = append(t.out, '}')
		}
	case p.raw != nil || p.url != nil:
		t.writeFile(p, plain)
	}
}

func (t *translator) writeFile(p *part, plain bool) {
	bytesName, uriName := "fileWithBytes", "fileWithUri"
	if plain {
		bytesName, uriName = "bytes", "uri"
		t.write(`"kind":"file"`)
	}
	t.key("file")
	t.out = append(t.out, '{')
	if p.raw != nil {
		t.key(bytesName)
		t.fileBytes(p.raw)
	}
	t.put(uriName, p.url)
	t.put("mimeType", p.mediaType)
	t.put("name", p.filename)
	t.out = append(t.out, '}')
}

// stashFields puts into the metadata what 0.3 has no field for.
func (t *translator) stashFields(p *part) {
	compat := p.data != nil && p.data[0] != '{'
	fields := t.from == JSON10 && (p.text != nil || p.data != nil) && (!empty(p.filename) || !empty(p.mediaType))
	if !compat && !fields {
		return
	}
	if p.metadata != nil && p.metadata[0] != '{' {
		t.fail("the metadata of a part is not an object")
		return
	}
	var drop []string
	added := []byte(nil)
	if compat {
		drop = append(drop, dataCompatKey)
		added = append(added, `"`+dataCompatKey+`":true`...)
	}
	if fields {
		drop = append(drop, PartFieldsKey)
		if added != nil {
			added = append(added, ',')
		}
		added = append(added, `"`+PartFieldsKey+`":{`...)
		if !empty(p.filename) {
			added = append(added, `"filename":`...)
			added = append(added, p.filename...)
		}
		if !empty(p.mediaType) {
			if !empty(p.filename) {
				added = append(added, ',')
			}
			added = append(added, `"mediaType":`...)
			added = append(added, p.mediaType...)
		}
		added = append(added, '}')
	}
	p.metadata = editMembers(p.metadata, drop, added)
}

// restoreFields undoes what stashFields did, for this gateway or another implementation of the convention.
func (t *translator) restoreFields(p *part) {
	if p.metadata == nil || p.metadata[0] != '{' || t.from == JSON10 {
		return
	}
	var drop []string
	if p.data != nil && bytes.Contains(p.metadata, []byte(dataCompatKey)) {
		value, sole := findMember(p.data, "value")
		if flag, _ := findMember(p.metadata, dataCompatKey); sole && value != nil && string(flag) == "true" {
			p.data = value
			drop = append(drop, dataCompatKey)
		}
	}
	if (p.data != nil || p.text != nil) && bytes.Contains(p.metadata, []byte(PartFieldsKey)) {
		if fields, _ := findMember(p.metadata, PartFieldsKey); fields != nil && fields[0] == '{' {
			drop = append(drop, PartFieldsKey)
			p.filename, p.mediaType = textMember(fields, "filename"), textMember(fields, "mediaType")
		}
	}
	if drop != nil {
		p.metadata = editMembers(p.metadata, drop, nil)
	}
}

// textMember returns a member that is a string and not empty, else nil.
func textMember(object []byte, name string) []byte {
	value, _ := findMember(object, name)
	if empty(value) || value[0] != '"' {
		return nil
	}
	return value
}

// findMember returns the last member of an object by that exact name, as parsers take it, and whether it is
// the only member of all.
func findMember(object []byte, name string) (value []byte, sole bool) {
	s := jsonrpc.NewReplyScanner(object)
	defer s.Release()
	if !s.OpenObject() {
		return nil, false
	}
	members := 0
	for ; s.Next(); members++ {
		if string(s.Name()) == name {
			value = s.Value()
		} else {
			s.Value()
		}
	}
	return value, members == 1
}

// editMembers returns an object without some members and with others, which are given as text, at its end.
// It returns nil when nothing is left. Object may be nil.
func editMembers(object []byte, drop []string, added []byte) []byte {
	out := make([]byte, 1, len(object)+len(added)+len("{,}"))
	out[0] = '{'
	if object != nil {
		s := jsonrpc.NewReplyScanner(object)
		defer s.Release()
		for s.OpenObject(); s.Next(); {
			name := object[s.NameOffset():s.Offset()]
			dropped := false
			for _, d := range drop {
				dropped = dropped || string(s.Name()) == d
			}
			value := s.Value()
			if dropped {
				continue
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, name...), ':'), value...)
		}
	}
	if added != nil {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, added...)
	}
	if len(out) == 1 {
		return nil
	}
	return append(out, '}')
}
