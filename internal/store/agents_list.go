package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// The list of agents is the one query that is put together here instead of by
// sqlc: field, operator and order are the caller's choice. Every text of the
// statement comes from the constants below; values are always parameters.

// agentColumns are those that agentOf reads, without the card, certificates and what is
// sealed.
const agentColumns = `
SELECT agents.uid, agents.agent_id, agents.team_uid, teams.team_id, agents.display_name, agents.description, agents.tags,
    agents.visibility, agents.lifecycle_state, agents.suspended_from, agents.suspend_reason, agents.suspend_time, agents.push_mode, agents.push_allowed_hosts, agents.forward_headers,
    agents.trust_card_authority, agents.preferred_dialects, agents.card_shape, agents.card_keys, agents.warnings, agents.etag, agents.create_time, agents.update_time,
    agent_revisions.revision, agent_revisions.card_source, agent_revisions.card_verification, agent_revisions.card_key_id,
    agent_revisions.endpoints, agent_revisions.interfaces,
    agents.credential, agents.transport_security - '{ca,certificate}'::text[],
    ARRAY(
        SELECT agent_names.agent_name FROM agent_names
        WHERE agent_names.agent_uid = agents.uid AND agent_names.alias
        ORDER BY agent_names.agent_name
    ) AS aliases
FROM agents
JOIN teams ON teams.uid = agents.team_uid
JOIN agent_revisions ON agent_revisions.agent_uid = agents.uid AND agent_revisions.revision = agents.current_revision
WHERE true`

// statement is SQL that grows together with its parameters.
type statement struct {
	sql  strings.Builder
	args []any
}

// arg adds a parameter and returns how it is written.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return fmt.Sprintf("$%d", len(s.args))
}

// Agents implements [registry.Reader].
func (s *Store) Agents(ctx context.Context, q registry.Query) ([]registry.Agent, error) {
	st, err := agentList(q)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, st.sql.String(), st.args...)
	if err != nil {
		return nil, fault(err)
	}
	agents, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (registry.Agent, error) {
		var r agentRow
		err := row.Scan(
			&r.Agent.UID, &r.Agent.AgentID, &r.Agent.TeamUID, &r.TeamID, &r.Agent.DisplayName, &r.Agent.Description, &r.Agent.Tags,
			&r.Agent.Visibility, &r.Agent.LifecycleState, &r.Agent.SuspendedFrom, &r.Agent.SuspendReason, &r.Agent.SuspendTime, &r.Agent.PushMode, &r.Agent.PushAllowedHosts, &r.Agent.ForwardHeaders,
			&r.Agent.TrustCardAuthority, &r.Agent.PreferredDialects, &r.Agent.CardShape, &r.Agent.CardKeys, &r.Agent.Warnings, &r.Agent.Etag, &r.Agent.CreateTime, &r.Agent.UpdateTime,
			&r.AgentRevision.Revision, &r.AgentRevision.CardSource, &r.AgentRevision.CardVerification, &r.AgentRevision.CardKeyID,
			&r.AgentRevision.Endpoints, &r.AgentRevision.Interfaces,
			&r.Agent.Credential, &r.Agent.TransportSecurity, &r.Aliases,
		)
		if err != nil {
			return registry.Agent{}, err
		}
		return agentOf(r)
	})
	return agents, fault(err)
}

// agentList writes the statement of a query.
func agentList(q registry.Query) (*statement, error) {
	st := &statement{}
	st.sql.WriteString(agentColumns)
	if q.Team != "" {
		st.sql.WriteString(" AND teams.team_id = " + st.arg(q.Team))
	}
	for _, c := range q.Conditions {
		text, err := agentCondition(st, c)
		if err != nil {
			return nil, err
		}
		st.sql.WriteString(" AND " + text)
	}
	column, after := "", any(nil)
	switch q.Order {
	case registry.ByName, "":
	case registry.ByDisplayName:
		column = "agents.display_name"
	case registry.ByCreateTime:
		column = "agents.create_time"
	case registry.ByUpdateTime:
		column = "agents.update_time"
	default:
		return nil, fmt.Errorf("order agents by %q", q.Order)
	}
	if q.After != nil {
		after = q.After.Time
		if q.Order == registry.ByDisplayName {
			after = q.After.DisplayName
		}
	}
	op, direction := ">", "ASC"
	if q.Desc {
		op, direction = "<", "DESC"
	}
	switch {
	case column == "" && q.After != nil:
		fmt.Fprintf(&st.sql, " AND agents.agent_id %s %s", op, st.arg(q.After.ID))
	case q.After != nil:
		fmt.Fprintf(&st.sql, " AND (%s, agents.agent_id) %s (%s, %s)", column, op, st.arg(after), st.arg(q.After.ID))
	}
	st.sql.WriteString(" ORDER BY ")
	if column != "" {
		st.sql.WriteString(column + " " + direction + ", ")
	}
	st.sql.WriteString("agents.agent_id " + direction + " LIMIT " + st.arg(q.Limit))
	return st, nil
}

// agentCondition writes one condition.
func agentCondition(st *statement, c filter.Condition) (string, error) {
	compare := func(column string, value any) (string, error) {
		op, err := sqlOperator(c.Op)
		return column + " " + op + " " + st.arg(value), err
	}
	contains := func(column string) string {
		// position, unlike LIKE, knows no wildcards that would have to be escaped.
		return "position(lower(" + st.arg(c.Value) + ") IN lower(" + column + ")) > 0"
	}
	switch c.Field {
	case "name":
		if c.Op == filter.Has {
			return contains("('agents/' || agents.agent_id)"), nil
		}
		return compare("agents.agent_id", strings.TrimPrefix(c.Value, "agents/"))
	case "team":
		if c.Op == filter.Has {
			return contains("('teams/' || teams.team_id)"), nil
		}
		return compare("teams.team_id", strings.TrimPrefix(c.Value, "teams/"))
	case "display_name":
		if c.Op == filter.Has {
			return contains("agents.display_name"), nil
		}
		return compare("agents.display_name", c.Value)
	case "visibility":
		return compare("agents.visibility", strings.TrimPrefix(c.Value, "VISIBILITY_"))
	case "state":
		return compare("agents.lifecycle_state", strings.TrimPrefix(c.Value, "STATE_"))
	case "push":
		return compare("agents.push_mode", strings.TrimPrefix(c.Value, "PUSH_MODE_"))
	case "tags":
		return st.arg(c.Value) + " = ANY(agents.tags)", nil
	case "create_time":
		return compare("agents.create_time", c.Time)
	case "update_time":
		return compare("agents.update_time", c.Time)
	}
	return "", fmt.Errorf("filter agents by %q", c.Field)
}

// sqlOperator returns how Postgres writes a comparison.
func sqlOperator(op filter.Op) (string, error) {
	switch op {
	case filter.Equal:
		return "=", nil
	case filter.NotEqual:
		return "<>", nil
	case filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual:
		return string(op), nil
	case filter.Has:
	}
	return "", fmt.Errorf("compare with %q", op)
}
