package identity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Roles and policies go by the names of users, so that a subject that makes the name of
// another is that other.
func TestUserID_NoShortSubjectHasTheNameOfALongOne(t *testing.T) {
	issuer := &identity.Issuer{ID: "okta"}
	for n := range 10_000 {
		long := fmt.Sprintf("%d%s", n, strings.Repeat("x", 130))
		sum := sha256.Sum256([]byte(long))
		if sum[0] != '!' { // what a subject may begin with and a name may not hold
			continue
		}
		short := "!" + hex.EncodeToString(sum[1:])
		if issuer.UserID(short) == issuer.UserID(long) {
			t.Fatalf("the subjects %q and %q have one name, %s", short, long, issuer.UserID(short))
		}
		return
	}
	t.Fatal("no subject was found to try")
}
