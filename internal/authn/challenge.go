package authn

import (
	"slices"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// Challenge returns the value of WWW-Authenticate for a refusal. Where tokens are believed
// it says where the resource, a URL, tells who issues them (RFC 9728, section 5.1).
func Challenge(snap *snapshot.Snapshot, resource string, r Refusal) string {
	metadata := ""
	if len(IssuerURLs(snap)) > 0 {
		metadata, _ = token.MetadataURL(resource) // without one the challenge is right all the same
	}
	return token.Challenge(metadata, r.Error, "")
}

// IssuerURLs returns the URLs of the issuers that are believed, in order.
func IssuerURLs(snap *snapshot.Snapshot) []string {
	var urls []string
	for _, i := range snap.Issuers() {
		if believed(i) {
			urls = append(urls, i.URL)
		}
	}
	slices.Sort(urls)
	return urls
}

func believed(i *identity.Issuer) bool { return !i.Disabled }
