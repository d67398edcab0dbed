package registry

import (
	"strings"

	"github.com/signalbox-dev/signalbox/internal/filter"
)

// FilterFields returns the fields that a list of agents can be filtered by. Names
// are resource names ("agents/echo", "teams/demo"); the values of enums may be
// written with and without the prefix that they have in the API.
func FilterFields() filter.Fields {
	every := []filter.Op{
		filter.Equal, filter.NotEqual, filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual, filter.Has,
	}
	return filter.Fields{
		"name":         {Type: filter.String, Ops: every},
		"team":         {Type: filter.String},
		"display_name": {Type: filter.String, Ops: every},
		"visibility": {Type: filter.Enum, Values: both("VISIBILITY_",
			string(VisibilityPrivate), string(VisibilityTeam), string(VisibilityOrganization), string(VisibilityPublic))},
		"state": {Type: filter.Enum, Values: both("STATE_",
			string(StateDraft), string(StatePendingApproval), string(StateApproved), string(StateDeprecated),
			string(StateRetired), string(StateRejected), string(StateSuspended))},
		"push":        {Type: filter.Enum, Values: both("PUSH_MODE_", string(PushOff), string(PushDirect))},
		"tags":        {Type: filter.List},
		"create_time": {Type: filter.Time},
		"update_time": {Type: filter.Time},
	}
}

func both(prefix string, values ...string) []string {
	all := make([]string, 0, 2*len(values))
	all = append(all, values...)
	for _, v := range values {
		all = append(all, prefix+v)
	}
	return all
}

// OrderError says that an order cannot be taken.
type OrderError struct{ Problem string }

// Error returns the problem.
func (e *OrderError) Error() string { return "order_by: " + e.Problem }

// ParseOrder reads a field, then optionally "asc" or "desc". The empty text is ByName.
func ParseOrder(text string) (order Order, desc bool, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return ByName, false, nil
	}
	order = Order(words[0])
	switch order {
	case ByName, ByDisplayName, ByCreateTime, ByUpdateTime:
	default:
		return "", false, &OrderError{Problem: `cannot order by "` + words[0] + `"; allowed: name, display_name, create_time, update_time`}
	}
	switch {
	case len(words) == 1 || len(words) == 2 && words[1] == "asc":
		return order, false, nil
	case len(words) == 2 && words[1] == "desc":
		return order, true, nil
	}
	return "", false, &OrderError{Problem: `give one field, then optionally "asc" or "desc"`}
}
