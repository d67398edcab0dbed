package translate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/translate"
)

// BenchmarkEvent translates a text of an artifact between every two forms.
func BenchmarkEvent(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		item := []byte(`{"artifactUpdate":{"taskId":"5c0ff2f2-2f2c-4ab4-9a34-18bfe5b6b1a1","contextId":"c-9","artifact":{"artifactId":"a-1","parts":[{"text":"` +
			strings.Repeat("lorem ip", size/8) + `"}]},"append":true}}`)
		for _, from := range forms {
			for _, to := range forms {
				if from == to {
					continue
				}
				in, err := translate.Event(p1, from, item)
				if err != nil {
					b.Fatal(err)
				}
				b.Run(fmt.Sprintf("%s to %s/%d", from, to, size), func(b *testing.B) {
					b.SetBytes(int64(len(in)))
					b.ReportAllocs()
					for b.Loop() {
						if _, err := translate.Event(from, to, in); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkFile translates the bytes of a file.
func BenchmarkFile(b *testing.B) {
	item := []byte(`{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"raw":"` + strings.Repeat("QUJD", 16<<10) + `"}]}}`)
	for _, pair := range [][2]translate.Form{{p1, k}, {k, p1}, {p1, p3}, {p3, p1}} {
		in, err := translate.Event(p1, pair[0], item)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s to %s", pair[0], pair[1]), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := translate.Event(pair[0], pair[1], in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
