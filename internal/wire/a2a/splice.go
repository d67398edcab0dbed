package a2a

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// ParamsEdit is what the gateway changes in the params of a call of version 1.0.
type ParamsEdit struct {
	// Tenant is the tenant that the agent is to see, "" for none.
	Tenant string
	// Page says that PageToken and PageSize are to be set.
	Page bool
	// PageToken is the token of a list call, "" for the first page.
	PageToken string
	// PageSize is how many items a page is to have; 0 leaves what the caller asked for.
	PageSize int
}

// SetTenant returns the body with the tenant set, replaced or, when it is "", removed. This goes for the
// params and for a push config that is sent along with a message. The call must be what [ParseCall] read
// in this body. All other bytes stay as they are; body itself is not changed.
func SetTenant(body []byte, req jsonrpc.Request, call Call, tenant string) []byte {
	return EditParams(body, req, call, ParamsEdit{Tenant: tenant})
}

// SetListPage returns the body of a list call with another page token and, unless it is 0, page size.
// The tenant stays as it is. The call must be what [ParseCall] read in this body.
func SetListPage(body []byte, req jsonrpc.Request, call Call, pageToken string, pageSize int) []byte {
	return EditParams(body, req, call, ParamsEdit{Tenant: call.Tenant, Page: true, PageToken: pageToken, PageSize: pageSize})
}

// EditParams returns the body with all of the given changes. The call must be what [ParseCall] read in this
// body, so two changes to one body have to be made by one edit. All other bytes stay as they are.
func EditParams(body []byte, req jsonrpc.Request, call Call, e ParamsEdit) []byte {
	s := splicer{body: body, offset: req.ParamsOffset}
	remove := place{}
	switch {
	case e.Tenant == "":
		remove = call.tenant
	case !call.HasTenant || call.Tenant != e.Tenant:
		s.set(call.tenant, "tenant", jsonrpc.AppendString(nil, e.Tenant))
	}
	if push := call.Push; push != nil && push.tenant.exists() {
		if e.Tenant == "" {
			s.remove(push.tenant)
		} else {
			s.set(push.tenant, "tenant", jsonrpc.AppendString(nil, e.Tenant))
		}
	}
	if e.Page {
		if e.PageToken != "" || call.pageToken.exists() {
			s.set(call.pageToken, "pageToken", jsonrpc.AppendString(nil, e.PageToken))
		}
		if e.PageSize != 0 {
			s.set(call.pageSize, "pageSize", strconv.AppendInt(nil, int64(e.PageSize), 10))
		}
	}
	return s.finish(req, remove)
}

// EnsureParams returns the body with "params":{} when it has no params. Some agents of version 1.0 answer
// a call without them as if it could not be parsed.
func EnsureParams(body []byte, req jsonrpc.Request) []byte {
	if req.Params != nil && !isNull(req.Params) {
		return body
	}
	s := splicer{body: body, offset: req.ParamsOffset}
	s.envelope(req, []byte("{}"))
	return s.apply()
}

// change replaces the bytes of a body between two places.
type change struct {
	from, to int
	text     []byte
}

// splicer collects changes to a body.
type splicer struct {
	body    []byte
	offset  int // where params begins
	changes []change
	added   []byte // new members of params, each followed by a comma
}

// set gives a member of params another value, or adds it when it is not there.
func (s *splicer) set(at place, name string, value []byte) {
	if !at.exists() {
		s.added = append(s.added, '"')
		s.added = append(s.added, name...)
		s.added = append(s.added, `":`...)
		s.added = append(s.added, value...)
		s.added = append(s.added, ',')
		return
	}
	from := s.offset + at.nameEnd
	from = skipSpace(s.body, from) + 1 // the colon
	s.changes = append(s.changes, change{skipSpace(s.body, from), s.offset + at.end, value})
}

// remove takes a member away, with the comma that follows or, for the last one, goes before.
func (s *splicer) remove(at place) {
	from, to := s.offset+at.name, s.offset+at.end
	if next := skipSpace(s.body, to); s.body[next] == ',' {
		to = skipSpace(s.body, next+1)
	} else {
		before := len(bytes.TrimRight(s.body[:from], " \t\r\n"))
		if s.body[before-1] == ',' {
			from = before - 1
		}
	}
	s.changes = append(s.changes, change{from, to, nil})
}

// finish returns the changed body. One member may be removed besides.
func (s *splicer) finish(req jsonrpc.Request, remove place) []byte {
	switch {
	case req.Params == nil || isNull(req.Params):
		if len(s.added) > 0 {
			s.envelope(req, append(append([]byte{'{'}, bytes.TrimSuffix(s.added, []byte(","))...), '}'))
		}
	case remove.exists() && len(s.added) > 0:
		// The new members take the place and the commas of the one that goes.
		s.changes = append(s.changes, change{s.offset + remove.name, s.offset + remove.end, bytes.TrimSuffix(s.added, []byte(","))})
	case remove.exists():
		s.remove(remove)
	case len(s.added) > 0:
		first := s.offset + 1 // behind the brace
		if s.body[skipSpace(s.body, first)] == '}' {
			s.added = bytes.TrimSuffix(s.added, []byte(","))
		}
		s.changes = append(s.changes, change{first, first, s.added})
	}
	return s.apply()
}

// envelope gives a request that has no params, or null, an object.
func (s *splicer) envelope(req jsonrpc.Request, params []byte) {
	if req.Params != nil {
		s.changes = append(s.changes, change{s.offset, s.offset + len(req.Params), params})
		return
	}
	brace := bytes.LastIndexByte(s.body, '}')
	s.changes = append(s.changes, change{brace, brace, append([]byte(`,"params":`), params...)})
}

func (s *splicer) apply() []byte {
	if len(s.changes) == 0 {
		return s.body
	}
	slices.SortFunc(s.changes, func(a, b change) int { return a.from - b.from })
	size := len(s.body)
	for _, c := range s.changes {
		size += len(c.text)
	}
	out := make([]byte, 0, size)
	done := 0
	for _, c := range s.changes {
		out = append(out, s.body[done:c.from]...)
		out = append(out, c.text...)
		done = c.to
	}
	return append(out, s.body[done:]...)
}

// skipSpace returns where the first byte at or behind i stands that is no white space.
func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}
