package audit

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestReserve_TheLargestClosingFitsWhatIsKeptForIt(t *testing.T) {
	for name, long := range map[string]string{
		"control characters": strings.Repeat("\x01", 1<<20),
		"wide characters":    strings.Repeat("\U0001F600", 1<<18),
		"quotes":             strings.Repeat(`"\`, 1<<18),
		"no UTF-8":           strings.Repeat("\xff", 1<<20),
	} {
		c := Closing{Error: &CallError{}}
		// Every member there is, also one that comes later.
		for _, v := range []reflect.Value{reflect.ValueOf(&c).Elem(), reflect.ValueOf(c.Error).Elem()} {
			for _, f := range v.Fields() {
				switch {
				case f.Kind() == reflect.String:
					f.SetString(long)
				case f.CanInt():
					f.SetInt(math.MinInt64)
				case f.Kind() == reflect.Bool:
					f.SetBool(true)
				}
			}
		}
		c.Invocation = uuid.Max
		c.Management = nil
		now := time.Date(2026, 1, 1, 0, 0, 0, 999_999_000, time.UTC)
		n := int64(len(appendClosed(nil, &c, now)))
		if n+recordHead > closingRoom(false) {
			t.Errorf("%s: a closing of %d bytes, and %d are kept for it", name, n, closingRoom(false))
		}
		document := []byte(`{"a":"` + strings.Repeat("x", MaxDocument-8) + `"}`)
		c.Management = &ManagementEnd{
			Resource: long, Revision: math.MinInt64, Before: document, After: document,
			Decision: &Decision{Principal: long, Action: long, Resource: long, Revision: math.MinInt64},
		}
		for range maxListed {
			c.Management.Decision.Rules = append(c.Management.Decision.Rules, long)
			c.Management.Decision.Context = append(c.Management.Decision.Context, Attribute{long, long})
		}
		data := appendClosed(nil, &c, now)
		if n := int64(len(data)); n+recordHead > closingRoom(true) || n < 2*MaxDocument {
			t.Errorf("%s: a closing of %d bytes, and %d are kept for it", name, n, closingRoom(true))
		}
	}
}
