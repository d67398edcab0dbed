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
		n := len(appendClosed(nil, &c, time.Date(2026, 1, 1, 0, 0, 0, 999_999_000, time.UTC)))
		if n+recordHead > maxClosing {
			t.Errorf("%s: a closing of %d bytes, and %d are kept for it", name, n, maxClosing)
		}
	}
}
