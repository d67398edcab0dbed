package cli

import (
	"strings"
)

// full makes a resource name of a short one: "echo" and "agents/echo" are the same.
// What is no name is left for the gateway to refuse.
func full(collection, name string) string {
	if name == "" || strings.HasPrefix(name, collection+"/") {
		return name
	}
	return collection + "/" + name
}

// short is the last part of a name of a collection at the top.
func short(name string) string {
	_, last, ok := strings.Cut(name, "/")
	if !ok {
		return name
	}
	return last
}

// keyName makes the name of a key of "teams/t/keys/k", "t/k", or "k" with a team.
func keyName(name, team string) (string, error) {
	parts := strings.Split(name, "/")
	var of, id string
	switch {
	case len(parts) == 4 && parts[0] == "teams" && parts[2] == "keys":
		of, id = parts[1], parts[3]
	case len(parts) == 2:
		of, id = parts[0], parts[1]
	case len(parts) == 1 && team != "":
		return full("teams", team) + "/keys/" + name, nil
	case len(parts) == 1:
		return "", usagef("of which team is key %q? Write TEAM/%s, or give --team", name, name)
	default:
		return "", usagef("%q is no key: write TEAM/KEY or teams/TEAM/keys/KEY", name)
	}
	if team != "" && full("teams", team) != "teams/"+of {
		return "", usagef("%q is not a key of team %q", name, short(full("teams", team)))
	}
	return "teams/" + of + "/keys/" + id, nil
}

// shortKey is a key as "team/key"; other callers are left as they are.
func shortKey(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) == 4 && parts[0] == "teams" && parts[2] == "keys" {
		return parts[1] + "/" + parts[3]
	}
	return name
}
