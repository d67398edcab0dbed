package pb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// samples are requests of about 200 bytes and of 64 KiB: in one text, and in many small parts.
func samples() map[string]string {
	message := `{"message":{"messageId":"0b1c6f9e-1111-4222-8333-444455556666","contextId":"c-1","role":"ROLE_USER","parts":[%s]},` +
		`"configuration":{"acceptedOutputModes":["text/plain"],"returnImmediately":false},"metadata":{"trace":"abc"}}`
	var parts []string
	for i := range 900 {
		parts = append(parts, fmt.Sprintf(`{"data":{"row":%d,"name":"value %d","ok":true},"mediaType":"application/json"}`, i, i))
	}
	return map[string]string{
		"200B":       fmt.Sprintf(message, `{"text":"summarise this, please"}`),
		"64KB/text":  fmt.Sprintf(message, `{"text":"`+strings.Repeat("sixteen letters ", 4096)+`"}`),
		"64KB/parts": fmt.Sprintf(message, strings.Join(parts, ",")),
	}
}

func BenchmarkParseCall(b *testing.B) {
	for name, text := range samples() {
		payload := bytesOf(b, send10, text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := pb.ParseCall(send10.v, send10.op, payload); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}

func BenchmarkToJSON(b *testing.B) {
	for name, text := range samples() {
		payload := bytesOf(b, send10, text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pb.ToJSON(send10.v, send10.op, send10.m, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFromJSON(b *testing.B) {
	for name, text := range samples() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pb.FromJSON(send10.v, send10.op, send10.m, []byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
