package rest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// Payload returns the request message that path, query and body make together. Where the body is all there is,
// it is the body itself; otherwise what stands in the path comes first, then the query, then what else the body
// has, with its bytes.
//
// The whole body is checked to be JSON in UTF-8 that is nested at most [jsonrpc.MaxDepth] deep. Members that
// say again what the path says must agree with it and be spelled as the version spells them. What is in the
// messages is not looked at: a2a.ParseCall and a2a.ParseCallREST03 do that.
func (r Request) Payload(body []byte) ([]byte, *a2a.Error) {
	if r.Op.Send() {
		if fault := check(body); fault != nil {
			return nil, fault
		}
		if r.Version == a2a.V03 || r.Tenant == "" {
			return body, nil
		}
		return r.merge(body)
	}
	if blank(body) {
		return r.merge([]byte("{}"))
	}
	if fault := check(body); fault != nil {
		return nil, fault
	}
	switch r.Op {
	case a2a.CancelTask, a2a.SubscribeToTask, a2a.CreatePushConfig:
		return r.merge(body)
	default:
		return nil, invalidParams(fmt.Sprintf("%s has no body; send its parameters in path and query", r.Op))
	}
}

// blank reports whether a body says nothing. There are clients that send null for it.
func blank(body []byte) bool {
	text := bytes.TrimSpace(body)
	return len(text) == 0 || string(text) == "null" || string(text) == "{}"
}

// check reads the whole body, which must be one object.
func check(body []byte) *a2a.Error {
	parseError := func(text string) *a2a.Error {
		return &a2a.Error{Code: jsonrpc.CodeParse, Reason: jsonrpc.ReasonParse, Message: text}
	}
	if bytes.HasPrefix(body, byteOrderMark) {
		return parseError("the body begins with a byte order mark; send UTF-8 without one")
	}
	if at := jsonrpc.CheckDepth(body, jsonrpc.MaxDepth); at >= 0 {
		return &a2a.Error{
			Code: jsonrpc.CodeInvalidRequest, Reason: jsonrpc.ReasonInvalidRequest,
			Message: fmt.Sprintf("the body is nested deeper than %d levels at byte %d; flatten it", jsonrpc.MaxDepth, at),
		}
	}
	s := jsonrpc.NewScanner(body)
	defer s.Release()
	isObject := s.Kind() == '{'
	s.Value()
	if err := s.End(); err != nil {
		if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			return parseError(fmt.Sprintf("the body is not valid JSON at byte %d", e.ByteOffset))
		}
		return parseError("the body is not valid JSON: " + err.Error())
	}
	if !isObject {
		return &a2a.Error{Code: jsonrpc.CodeInvalidRequest, Reason: jsonrpc.ReasonInvalidRequest, Message: "the body is not a JSON object"}
	}
	return nil
}

// merge puts what path and query say in front of what the body says.
func (r Request) merge(body []byte) ([]byte, *a2a.Error) {
	if r.Op == a2a.CreatePushConfig && r.Version == a2a.V03 {
		return r.mergeConfig03(body)
	}
	rest, fault := r.otherMembers(body, r.own())
	if fault != nil {
		return nil, fault
	}
	if rest.complete && len(r.query) == 0 {
		return body, nil
	}
	return join(r.own(), r.query, rest.members), nil
}

// ownMember is a member of the payload that the path decides.
type ownMember struct {
	name, value string
}

// own returns the members of the payload that the path decides.
func (r Request) own() []ownMember {
	var own []ownMember
	if r.Version == a2a.V03 {
		switch r.Op {
		case a2a.GetTask, a2a.CancelTask, a2a.SubscribeToTask:
			name, _ := a2a.TaskName(r.TaskID)
			own = append(own, ownMember{"name", name})
		case a2a.GetPushConfig, a2a.DeletePushConfig:
			name, _ := a2a.PushConfigName(r.TaskID, r.PushConfigID)
			own = append(own, ownMember{"name", name})
		case a2a.ListPushConfigs, a2a.CreatePushConfig:
			name, _ := a2a.TaskName(r.TaskID)
			own = append(own, ownMember{"parent", name})
		default:
		}
		return own
	}
	if r.Tenant != "" {
		own = append(own, ownMember{"tenant", r.Tenant})
	}
	switch {
	case r.Op.Push():
		own = append(own, ownMember{"taskId", r.TaskID})
		if r.PushConfigID != "" {
			own = append(own, ownMember{"id", r.PushConfigID})
		}
	case r.Op.NeedsTask():
		own = append(own, ownMember{"id", r.TaskID})
	}
	return own
}

// others are the members of a body that the path does not decide.
type others struct {
	members  []rawMember
	complete bool // the body has all members that the path decides
}

// rawMember is a member as it came.
type rawMember struct {
	folded      string
	name, value []byte // raw, the name with its quotes
}

// otherMembers checks what the body says of what the path says, and returns the rest. The body is valid.
func (r Request) otherMembers(body []byte, own []ownMember) (others, *a2a.Error) {
	members, fault := readMembers(body)
	if fault != nil {
		return others{}, fault
	}
	var (
		rest  others
		found int
	)
	for _, m := range members {
		at := findOwn(own, m.folded)
		if at < 0 {
			if r.foreign(m.folded) {
				return others{}, invalidParams(fmt.Sprintf("the body has a member %.40s, which A2A %s does not have here", m.name, r.Version))
			}
			rest.members = append(rest.members, m)
			continue
		}
		if string(m.name) != `"`+own[at].name+`"` {
			return others{}, invalidParams(fmt.Sprintf("the body has a member %.40s; spell it %q", m.name, own[at].name))
		}
		switch value, isText := jsonrpc.Unquote(m.value); {
		case isText && value == own[at].value:
			found++
		case string(m.value) == "null", isText && value == "":
			// It says nothing, and is left out.
		case own[at].name == "parent" && isText && value == own[at].value+"/"+segmentPush:
			// How some clients understand the path.
		default:
			return others{}, invalidParams(fmt.Sprintf("%s in the body does not agree with the path", own[at].name))
		}
	}
	rest.complete = found == len(own)
	return rest, nil
}

// foreign reports whether the body of an operation has a member that another version has for an id. A
// translation would put it beside the id that the path gives.
func (r Request) foreign(folded string) bool {
	if r.Version != a2a.V03 {
		return false
	}
	return folded == "ID" || folded == "TASKID" || folded == "TENANT"
}

func findOwn(own []ownMember, folded string) int {
	for i, m := range own {
		if string(jsonrpc.AppendFold(nil, []byte(m.name))) == folded {
			return i
		}
	}
	return -1
}

// readMembers returns the members of a valid object. Names that fold to the same are refused.
func readMembers(body []byte) ([]rawMember, *a2a.Error) {
	s := jsonrpc.NewScanner(body)
	defer s.Release()
	if !s.OpenObject() {
		return nil, &a2a.Error{Code: jsonrpc.CodeInvalidRequest, Reason: jsonrpc.ReasonInvalidRequest, Message: "the body is not a JSON object"}
	}
	var members []rawMember
	for s.Next() {
		if s.Duplicate() {
			return nil, invalidParams(fmt.Sprintf("the body has %s twice, or in two spellings; send each member once", jsonrpc.QuoteName(s.Name())))
		}
		at, end := s.NameOffset(), s.Offset()
		name := body[at:end]
		if bytes.IndexByte(name, '\\') >= 0 { // compared by what it stands for
			name = jsonrpc.AppendString(nil, s.Name())
		}
		members = append(members, rawMember{string(s.Folded()), name, s.Value()})
	}
	return members, nil
}

// join writes an object.
func join(own []ownMember, query []parameter, rest []rawMember) []byte {
	dst := []byte{'{'}
	comma := func() {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
	}
	for _, m := range own {
		comma()
		dst = jsonrpc.AppendString(dst, m.name)
		dst = append(dst, ':')
		dst = jsonrpc.AppendString(dst, m.value)
	}
	for _, p := range query {
		comma()
		dst = jsonrpc.AppendString(dst, p.name)
		dst = append(dst, ':')
		dst = append(dst, p.value...)
	}
	for _, m := range rest {
		comma()
		dst = append(dst, m.name...)
		dst = append(dst, ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

// mergeConfig03 makes the request that creates a push config in version 0.3. The body is that request, or only
// its config: agents and clients disagree.
func (r Request) mergeConfig03(body []byte) ([]byte, *a2a.Error) {
	rest, fault := r.otherMembers(body, r.own())
	if fault != nil {
		return nil, fault
	}
	var whole, only bool
	for _, m := range rest.members {
		switch name := string(m.name); {
		case m.folded == "CONFIG" && name != `"config"`, m.folded == "CONFIGID" && name != `"configId"`:
			want := "config"
			if m.folded == "CONFIGID" {
				want = "configId"
			}
			return nil, invalidParams(fmt.Sprintf("the body has a member %.40s; spell it %q", m.name, want))
		case m.folded == "CONFIG":
			whole = true
		case m.folded == "PUSHNOTIFICATIONCONFIG":
			only = true
		}
	}
	switch {
	case whole && only:
		return nil, invalidParams("the body has both config and pushNotificationConfig; send the push config once")
	case only:
		return r.wrapConfig03(rest.members)
	case !whole:
		return nil, invalidParams("the body has no config")
	}
	members, fault := r.configID03(rest.members)
	if fault != nil {
		return nil, fault
	}
	if rest.complete && len(r.query) == 0 {
		return body, nil
	}
	return join(r.own(), r.query, members), nil
}

// wrapConfig03 makes the request out of a body that is its config.
func (r Request) wrapConfig03(members []rawMember) ([]byte, *a2a.Error) {
	members, fault := r.configID03(members)
	if fault != nil {
		return nil, fault
	}
	var outer, inner []rawMember
	for _, m := range members {
		if m.folded == "CONFIGID" {
			outer = append(outer, m)
		} else {
			inner = append(inner, m)
		}
	}
	outer = append(outer, rawMember{name: []byte(`"config"`), value: join(nil, nil, inner)})
	return join(r.own(), r.query, outer), nil
}

// configID03 takes the id of a config out of the members of a body when the query has it too.
func (r Request) configID03(members []rawMember) ([]rawMember, *a2a.Error) {
	var rest []rawMember
	for _, m := range members {
		if m.folded != "CONFIGID" || len(r.query) == 0 {
			rest = append(rest, m)
			continue
		}
		id, isText := jsonrpc.Unquote(m.value)
		query, _ := jsonrpc.Unquote(r.query[0].value)
		if !isText && string(m.value) != "null" || id != "" && id != query {
			return nil, invalidParams("configId in the body does not agree with the query")
		}
	}
	return rest, nil
}

// AcceptsA2AJSON reports whether a reply is to have the content type [TypeA2AJSON]: the caller names it in what
// it accepts or, when it accepts anything, in what it sends. Everybody else gets application/json, which more
// clients read.
func AcceptsA2AJSON(accept, contentType string) bool {
	accept = strings.ToLower(accept)
	if strings.Contains(accept, TypeA2AJSON) {
		return true
	}
	return (accept == "" || strings.Contains(accept, "*/*")) && !strings.Contains(accept, TypeJSON) && mediaType(contentType) == TypeA2AJSON
}

// The content types of bodies.
const (
	TypeJSON    = "application/json"
	TypeA2AJSON = "application/a2a+json"
)

func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
