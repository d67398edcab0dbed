package token

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// maxDisplayName and maxEmail are how many bytes a token may say of a person.
	maxDisplayName = 200
	maxEmail       = 254
)

// principal returns the user that a verified token speaks of.
func principal(issuer *identity.Issuer, t *parsed, token string) identity.Principal {
	c := &identity.Claims{
		Issuer:      issuer.ID,
		Subject:     t.subject,
		UserID:      issuer.UserID(t.subject),
		DisplayName: displayName(t.claims, issuer.NameClaim),
		Email:       email(t.claims, issuer.EmailClaim),
		Expires:     t.expires,
		Token:       token,
	}
	c.Teams, c.Roles = mapped(t.claims, issuer.Mappings)
	p := identity.Principal{
		Kind:   identity.KindUser,
		UID:    issuer.UserUID(t.subject),
		Name:   identity.UserName(c.UserID),
		Claims: c,
	}
	if len(c.Teams) > 0 {
		p.Team = c.Teams[0]
	}
	return p
}

// mapped returns the teams and roles that claims give, in order and without repetition.
func mapped(claims map[string]any, mappings []identity.ClaimMapping) (teams []string, roles []identity.RoleIn) {
	for _, m := range mappings {
		if value, ok := lookup(claims, m.Claim); !ok || !has(value, m.Value) {
			continue
		}
		if m.Team != "" {
			teams = append(teams, m.Team)
		}
		// Who is in a team without a role in it is a member of it anyway.
		if m.Role != "" {
			roles = append(roles, identity.RoleIn{Role: m.Role, Team: m.Team})
		}
	}
	slices.Sort(teams)
	slices.SortFunc(roles, identity.RoleIn.Compare)
	return slices.Compact(teams), slices.Compact(roles)
}

// lookup finds a claim by its name, or by names with dots between them. As names may have
// dots themselves, such as those that begin with a URL, the longest that fits is taken.
func lookup(claims map[string]any, path string) (any, bool) {
	if path == "" {
		return nil, false
	}
	if value, ok := claims[path]; ok {
		return value, true
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		inner, ok := claims[path[:i]].(map[string]any)
		if !ok {
			continue
		}
		if value, ok := lookup(inner, path[i+1:]); ok {
			return value, true
		}
	}
	return nil, false
}

// has tells whether a claim is a text, a list that contains it, or words of which it is one.
func has(claim any, text string) bool {
	switch claim := claim.(type) {
	case string:
		if claim == text {
			return text != ""
		}
		for word := range strings.SplitSeq(claim, " ") {
			if word == text && word != "" {
				return true
			}
		}
	case []any:
		return text != "" && slices.Contains(claim, any(text))
	}
	return false
}

// displayName returns a claim that is for people: one line, and cut where it is too long.
func displayName(claims map[string]any, path string) string {
	value, _ := lookup(claims, path)
	name, _ := value.(string)
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name))
	if len(name) <= maxDisplayName {
		return name
	}
	end := maxDisplayName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// email returns a claim that can be an address, or nothing.
func email(claims map[string]any, path string) string {
	value, _ := lookup(claims, path)
	address, _ := value.(string)
	odd := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
	if len(address) > maxEmail || strings.ContainsFunc(address, odd) {
		return ""
	}
	return address
}
