package rest

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// kind is what a query parameter holds.
type kind uint8

const (
	textValue kind = 1 + iota
	integerValue
	flagValue
	stateValue
	timeValue
	taskIDValue     // must be the task of the path
	configIDValue   // must be the config of the path
	tenantValue     // must be the tenant of the path, if that has one
	taskNameValue   // likewise, as a resource name of 0.3
	configNameValue // likewise
)

// rule is a query parameter of an operation.
type rule struct {
	name string
	kind kind
	as   string // the member that it becomes, when that has another name
}

// The parameters that several operations have.
var (
	historyLength = rule{name: "historyLength", kind: integerValue}
	pageSize      = rule{name: "pageSize", kind: integerValue}
	pageToken     = rule{name: "pageToken", kind: textValue}
	tenant        = rule{name: "tenant", kind: tenantValue}
	taskID        = rule{name: "taskId", kind: taskIDValue}
	taskName      = rule{name: "name", kind: taskNameValue}
	parentName    = rule{name: "parent", kind: taskNameValue}
)

// The parameters of each operation. Ids may stand in the query besides, since some clients send every member
// of their request there.
var (
	get10       = []rule{historyLength, {name: "id", kind: taskIDValue}, tenant}
	task10      = []rule{{name: "id", kind: taskIDValue}, tenant}
	list10      = []rule{{name: "contextId", kind: textValue}, {name: "status", kind: stateValue}, pageSize, pageToken, historyLength, {name: "statusTimestampAfter", kind: timeValue}, {name: "lastUpdatedAfter", kind: timeValue, as: "statusTimestampAfter"}, {name: "includeArtifacts", kind: flagValue}, tenant}
	config10    = []rule{taskID, {name: "id", kind: configIDValue}, tenant}
	configs10   = []rule{pageSize, pageToken, taskID, tenant}
	tenant10    = []rule{tenant}
	newConfig10 = []rule{taskID, tenant}

	get03       = []rule{historyLength, taskName}
	task03      = []rule{taskName}
	config03    = []rule{{name: "name", kind: configNameValue}}
	configs03   = []rule{pageSize, pageToken, parentName}
	newConfig03 = []rule{{name: "configId", kind: textValue}, parentName}
)

func rules(op a2a.Operation, v a2a.Version) []rule {
	if v == a2a.V03 {
		switch op {
		case a2a.GetTask:
			return get03
		case a2a.CancelTask, a2a.SubscribeToTask:
			return task03
		case a2a.GetPushConfig, a2a.DeletePushConfig:
			return config03
		case a2a.ListPushConfigs:
			return configs03
		case a2a.CreatePushConfig:
			return newConfig03
		default:
			return nil
		}
	}
	switch op {
	case a2a.GetTask:
		return get10
	case a2a.CancelTask, a2a.SubscribeToTask:
		return task10
	case a2a.ListTasks:
		return list10
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		return config10
	case a2a.ListPushConfigs:
		return configs10
	case a2a.CreatePushConfig:
		return newConfig10
	default:
		return tenant10
	}
}

// readQuery reads the parameters of the operation out of a raw query.
func (r *Request) readQuery(raw string) *a2a.Error {
	if raw == "" {
		return nil
	}
	known := rules(r.Op, r.Version)
	var names jsonrpc.NameSet
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		escapedName, escapedValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escapedName)
		value, err2 := url.QueryUnescape(escapedValue)
		if err != nil || err2 != nil || strings.Contains(pair, ";") || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return invalidParams("the query is not validly percent-encoded UTF-8; encode a semicolon as %3B")
		}
		folded, duplicate := names.Add([]byte(name))
		if duplicate {
			return invalidParams(fmt.Sprintf("the query has %s twice, or in two spellings; send each parameter once", jsonrpc.QuoteName([]byte(name))))
		}
		rule, ok := lookup(known, string(folded))
		if !ok {
			continue
		}
		if rule.name != name {
			return invalidParams(fmt.Sprintf("the query has a parameter %s; spell it %q", jsonrpc.QuoteName([]byte(name)), rule.name))
		}
		if value == "" {
			continue // what is empty is absent
		}
		if fault := r.take(rule, value); fault != nil {
			return fault
		}
	}
	return nil
}

func lookup(rules []rule, folded string) (rule, bool) {
	for _, rule := range rules {
		if string(jsonrpc.AppendFold(nil, []byte(rule.name))) == folded {
			return rule, true
		}
	}
	return rule{}, false
}

// take reads the value of one parameter.
func (r *Request) take(rule rule, value string) *a2a.Error {
	refuse := func(what string) *a2a.Error {
		return invalidParams(fmt.Sprintf("query parameter %s %s", rule.name, what))
	}
	var member []byte
	switch rule.kind {
	case textValue:
		if strings.IndexByte(value, 0) >= 0 {
			return refuse("contains a character that no id may have")
		}
		member = jsonrpc.AppendString(nil, value)
	case integerValue:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || value[0] == '+' {
			return refuse("is not an integer of 32 bits")
		}
		member = strconv.AppendInt(nil, n, 10)
	case flagValue:
		if value != "true" && value != "false" {
			return refuse("is neither true nor false")
		}
		member = []byte(value)
	case stateValue:
		if !isState(value) {
			return refuse("is not the name of a state, such as TASK_STATE_WORKING or TASK_STATE_CANCELED")
		}
		member = jsonrpc.AppendString(nil, value)
	case timeValue:
		if !isTimestamp(value) {
			return refuse("is not a time such as 2026-01-02T03:04:05Z; encode a plus sign as %2B")
		}
		member = jsonrpc.AppendString(nil, value)
	case taskIDValue:
		return agree(rule.name, value, r.TaskID)
	case configIDValue:
		return agree(rule.name, value, r.PushConfigID)
	case taskNameValue:
		name, _ := a2a.TaskName(r.TaskID)
		return agree(rule.name, strings.TrimSuffix(value, "/"+segmentPush), name)
	case configNameValue:
		name, _ := a2a.PushConfigName(r.TaskID, r.PushConfigID)
		return agree(rule.name, value, name)
	case tenantValue:
		if r.Tenant == "" {
			if problem := checkID(value); problem != "" {
				return refuse(problem)
			}
			r.Tenant = value
		}
		return agree(rule.name, value, r.Tenant)
	}
	name := rule.name
	if rule.as != "" {
		name = rule.as
	}
	for _, p := range r.query {
		if p.name == name {
			return refuse("means the same as another one; send one of them")
		}
	}
	r.query = append(r.query, parameter{name, member})
	return nil
}

func agree(name, value, path string) *a2a.Error {
	if value == path {
		return nil
	}
	return invalidParams(fmt.Sprintf("query parameter %s does not agree with the path", name))
}

func isState(name string) bool {
	switch name {
	case "TASK_STATE_UNSPECIFIED", "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED", "TASK_STATE_FAILED",
		"TASK_STATE_CANCELED", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_REJECTED", "TASK_STATE_AUTH_REQUIRED":
		return true
	}
	return false
}

// timestamps is narrower than time.Parse, which also takes a comma and hours of one digit.
var timestamps = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

func isTimestamp(value string) bool {
	if !timestamps.MatchString(value) {
		return false
	}
	_, err := time.Parse(time.RFC3339Nano, value)
	return err == nil
}
