package token

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// MetadataPath is where a host says how its resources are protected (RFC 9728, section
// 3). A resource that has a path of its own has it behind this one.
const MetadataPath = "/.well-known/oauth-protected-resource"

// MetadataURL returns where the metadata of a resource is.
func MetadataURL(resource string) (string, error) {
	u, err := url.Parse(resource)
	if err != nil || u.Host == "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("the resource %q is not a URL without a fragment", resource)
	}
	u.RawPath = ""
	u.Path = MetadataPath + strings.TrimSuffix(u.Path, "/")
	return u.String(), nil
}

// Metadata returns the OAuth 2.0 Protected Resource Metadata (RFC 9728) of a resource:
// who issues the tokens that it takes, and how they are shown.
func Metadata(resource string, issuers []string) []byte {
	document := struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers,omitempty"`
		BearerMethods        []string `json:"bearer_methods_supported"`
	}{resource, issuers, []string{"header"}}
	b, err := json.Marshal(document)
	if err != nil {
		panic(err) // texts can always be marshalled
	}
	return b
}

// Challenge returns the value of a WWW-Authenticate header (RFC 6750, section 3) that
// points to the metadata of the resource. What is empty is left out: a request without a
// credential is not told of an error.
func Challenge(metadataURL, errorCode, description string) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="signalbox"`)
	param := func(name, value string) {
		if value = quotable(value); value != "" {
			b.WriteString(", " + name + `="` + value + `"`)
		}
	}
	param("error", errorCode)
	param("error_description", description)
	param("resource_metadata", metadataURL)
	return b.String()
}

// quotable replaces what neither an error's description nor a URL may hold, so that
// nothing has to be escaped and nothing ends the text or the header.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, s)
}
