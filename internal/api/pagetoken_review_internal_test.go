package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// The place where a page ends may be that of something that the caller may not see.
func TestPageTokens_ShowNothingOfThePlace(t *testing.T) {
	p := pageTokens{key: []byte(strings.Repeat("k", 32))}
	token, err := p.write(identity.Admin(), []string{"keys", "teams/-"}, keyPlace{Team: "secretteam", Key: "secretkey"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("secret")) {
		t.Errorf("the token holds the names of its place: %q", raw)
	}
	var place keyPlace
	if err := p.read(identity.Admin(), []string{"keys", "teams/-"}, token, &place); err != nil || place != (keyPlace{Team: "secretteam", Key: "secretkey"}) {
		t.Errorf("read %v, %v", place, err)
	}
}

// rows is a table of numbers that counts how often it is asked.
type rows struct{ total, asked, read int }

func (r *rows) after(last *int, limit int) ([]int, bool, error) {
	r.asked++
	from := 0
	if last != nil {
		from = *last + 1
	}
	var page []int
	for i := from; i < r.total && len(page) < limit; i++ {
		page = append(page, i)
	}
	r.read += len(page)
	return page, from+len(page) < r.total, nil
}

func TestFillPage_AsksSeldomForWhatMostlyCannotBeSeen(t *testing.T) {
	table := &rows{total: 20_000}
	shown, last, more, err := fillPage(1, table.after, func(*int) bool { return false })
	if err != nil || len(shown) != 0 || !more || last == nil {
		t.Fatalf("shown %v, last %v, more %v, %v", shown, last, more, err)
	}
	if table.asked > 60 {
		t.Errorf("the table was asked %d times for %d rows", table.asked, table.read)
	}
	if table.read > 2*maxScanned {
		t.Errorf("%d rows were read, more than the %d of one call", table.read, maxScanned)
	}
}

func TestFillPage_PagesTogetherAreAllThatIsSeen(t *testing.T) {
	for _, size := range []int{1, 3, 100, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			table := &rows{total: 1203}
			sees := func(i *int) bool { return *i%7 == 0 || *i > 1190 }
			var got []int
			var from *int
			for {
				shown, last, more, err := fillPage(size, func(after *int, limit int) ([]int, bool, error) {
					if after == nil {
						after = from
					}
					return table.after(after, limit)
				}, sees)
				if err != nil || len(shown) > size {
					t.Fatalf("%d rows of %d, %v", len(shown), size, err)
				}
				got = append(got, shown...)
				if !more {
					break
				}
				from = last
			}
			n := 0
			for i := range table.total {
				if sees(&i) {
					if n >= len(got) || got[n] != i {
						t.Fatalf("row %d is missing or twice in %v", i, got)
					}
					n++
				}
			}
			if n != len(got) {
				t.Errorf("%d rows too many", len(got)-n)
			}
		})
	}
}
