package registry

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// MaxEndpoints is the number of endpoints that an agent may have.
const MaxEndpoints = 64

// normalizeURL checks a base URL and writes it as it is stored.
func normalizeURL(field, raw string) (string, error) {
	invalid := func(format string, args ...any) (string, error) {
		return "", &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The text of url.Error repeats the address, which may hold a password.
		return invalid("is not a URL; write for example https://agent.example.com/a2a")
	case !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https"):
		return invalid("needs the scheme http or https")
	case u.Opaque != "" || u.Hostname() == "":
		return invalid("names no host")
	case u.User != nil:
		return invalid("must not hold a user name or password; credentials towards agents are not part of the address")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return invalid("must not have a fragment (#…)")
	case u.RawQuery != "" || u.ForceQuery:
		return invalid("must not have a query (?…): it is a base that paths are added to")
	case strings.HasSuffix(u.Host, ":"):
		return invalid("names no port after the colon")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return invalid("has port %s; ports go from 1 to 65535", port)
		}
	}
	if strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"<>\^{|}%`, r) }) {
		return invalid("has a host that cannot be one")
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), nil
}

// checkText refuses characters that have no place in a text for people: Postgres
// takes no NUL, and terminals obey escapes. Line ends are for descriptions only.
func checkText(field, text string, lines bool) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && (!lines || !isSpace(r)) }) {
		return &InvalidError{Field: field, Problem: "has a control character"}
	}
	return nil
}

// printable takes such characters out of a text that somebody else wrote.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !isSpace(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
}

func isSpace(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }

// oneLine is printable without line ends.
func oneLine(text string) string { return strings.Join(strings.Fields(printable(text)), " ") }

// normalizeEndpoints checks endpoints and writes them as they are stored.
func normalizeEndpoints(field string, endpoints []Endpoint) ([]Endpoint, error) {
	switch {
	case len(endpoints) == 0:
		return nil, &InvalidError{Field: field, Problem: "at least one endpoint is needed, for example {\"url\": \"http://127.0.0.1:9999\"}"}
	case len(endpoints) > MaxEndpoints:
		return nil, &InvalidError{Field: field, Problem: fmt.Sprintf("at most %d endpoints", MaxEndpoints)}
	}
	out := make([]Endpoint, len(endpoints))
	seen := make(map[string]int, len(endpoints))
	for i, e := range endpoints {
		at := fmt.Sprintf("%s[%d].url", field, i)
		normal, err := normalizeURL(at, e.URL)
		if err != nil {
			return nil, err
		}
		if first, ok := seen[normal]; ok {
			return nil, &InvalidError{Field: at, Problem: fmt.Sprintf("is the same as %s[%d]; use weight to give an instance a larger share", field, first)}
		}
		seen[normal] = i
		out[i] = Endpoint{URL: normal, Weight: max(e.Weight, 1)}
	}
	return out, nil
}

// refusedHeaders are those that the gateway itself sets or must not pass on:
// hop-by-hop headers, credentials, and what describes the connection.
var refusedHeaders = []string{
	"authorization", "cookie", "set-cookie", "x-api-key", "x-litellm-api-key", "host", "connection", "keep-alive", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect", "date", "forwarded", "via", "traceparent", "tracestate",
	"baggage", "accept", "accept-encoding", "last-event-id", "user-agent",
}

// refusedHeaderPrefixes are families of such headers.
var refusedHeaderPrefixes = []string{"proxy-", "content-", "a2a-", "x-a2a-", "signalbox-", "x-signalbox-", "x-forwarded-", "sec-"}

// normalizeHeaders checks the names of headers to forward and writes them as HTTP does.
func normalizeHeaders(field string, names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for i, name := range names {
		lower := strings.ToLower(name)
		if slices.Contains(refusedHeaders, lower) ||
			slices.ContainsFunc(refusedHeaderPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }) {
			return nil, &InvalidError{
				Field:   fmt.Sprintf("%s[%d]", field, i),
				Problem: fmt.Sprintf("%s is never passed on as it came: it carries a credential, belongs to the connection, or is set by the gateway", name),
			}
		}
		out = append(out, textproto.CanonicalMIMEHeaderKey(name))
	}
	return unique(field, out)
}

// normalizeHosts writes push hosts in lower case.
func normalizeHosts(field string, hosts []string) ([]string, error) {
	out := make([]string, len(hosts))
	for i, host := range hosts {
		out[i] = strings.TrimSuffix(strings.ToLower(host), ".")
	}
	return unique(field, out)
}

// unique refuses lists that name a thing twice after normalizing; schema rules see
// only the spelling.
func unique(field string, list []string) ([]string, error) {
	seen := make(map[string]bool, len(list))
	for i, item := range list {
		if seen[item] {
			return nil, &InvalidError{Field: fmt.Sprintf("%s[%d]", field, i), Problem: item + " is named twice"}
		}
		seen[item] = true
	}
	return list, nil
}

// checkAliases refuses aliases that are the agent's own name or given twice.
func checkAliases(field, id string, aliases []string) ([]string, error) {
	if i := slices.Index(aliases, id); i >= 0 {
		return nil, &InvalidError{Field: fmt.Sprintf("%s[%d]", field, i), Problem: "is the agent's own name"}
	}
	aliases, err := unique(field, aliases)
	if err != nil {
		return nil, err
	}
	sorted := slices.Clone(aliases)
	slices.Sort(sorted)
	return sorted, nil
}

// parseDialects reads names of dialects.
func parseDialects(field string, names []string) ([]a2a.Dialect, error) {
	dialects := make([]a2a.Dialect, len(names))
	for i, name := range names {
		var ok bool
		if dialects[i], ok = a2a.ParseDialect(name); !ok {
			return nil, &InvalidError{
				Field:   fmt.Sprintf("%s[%d]", field, i),
				Problem: fmt.Sprintf("%q is no dialect; there are %s", name, join(a2a.Dialects[:])),
			}
		}
	}
	_, err := unique(field, names)
	return dialects, err
}

// join lists dialects.
func join(dialects []a2a.Dialect) string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.String()
	}
	return strings.Join(names, ", ")
}

// checkPush refuses push modes that could never work.
func checkPush(mode PushMode, hosts []string) error {
	if mode == PushDirect && len(hosts) == 0 {
		return &InvalidError{
			Field:   "agent.push_allowed_hosts",
			Problem: "push DIRECT needs the hosts that push addresses may name, for example \"hooks.example.com\"",
		}
	}
	return nil
}
