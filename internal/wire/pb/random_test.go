package pb_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// TestRandomMessages_AreReadAsGeneratedCodeReadsThem puts messages together that no writer makes but every parser
// reads: fields doubled, in any order, of foreign types, oneofs with several members, parts to be merged.
func TestRandomMessages_AreReadAsGeneratedCodeReadsThem(t *testing.T) {
	const rounds = 60
	for i, k := range kinds {
		t.Run(fmt.Sprint(k.v, k.op, k.m), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			var payload []byte
			defer func() {
				if t.Failed() {
					t.Logf("the payload is %s", hex.EncodeToString(payload))
				}
			}()
			for range rounds {
				payload = randomMessage(r, generated(k).ProtoReflect().Descriptor(), 0)
				checkToJSON(t, k, payload)
				if k.m != pb.Request {
					checkResult(t, k, payload)
					continue
				}
				checkCall(t, k, payload)
				if k.v == a2a.V10 {
					checkTenant(t, k, payload, []string{"", "x"}[r.IntN(2)])
				}
			}
		})
	}
}

func randomMessage(r *rand.Rand, md protoreflect.MessageDescriptor, depth int) []byte {
	var out []byte
	n := r.IntN(7)
	if depth > 6 {
		n = 0
	}
	fields := md.Fields()
	for range n {
		if fields.Len() == 0 || r.IntN(20) == 0 {
			out = protowire.AppendVarint(protowire.AppendTag(out, protowire.Number(1+r.IntN(30)), protowire.VarintType), r.Uint64())
			continue
		}
		fd := fields.Get(r.IntN(fields.Len()))
		out = randomField(r, out, fd, depth)
	}
	return out
}

func randomField(r *rand.Rand, out []byte, fd protoreflect.FieldDescriptor, depth int) []byte {
	num := fd.Number()
	if r.IntN(60) == 0 {
		return protowire.AppendFixed32(protowire.AppendTag(out, num, protowire.Fixed32Type), 9)
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		texts := []string{"", "a", "b", "tasks/t", "tasks/t", "tasks/t/pushNotificationConfigs/c", "tasks/u", "c", "\"\\\n\u2028é", "x\x00"}
		if r.IntN(200) == 0 {
			texts = []string{"\xff"}
		}
		return protowire.AppendString(protowire.AppendTag(out, num, protowire.BytesType), texts[r.IntN(len(texts))])
	case protoreflect.BytesKind:
		return protowire.AppendBytes(protowire.AppendTag(out, num, protowire.BytesType), []byte("\x00\xff\xfe?>"[:r.IntN(6)]))
	case protoreflect.MessageKind:
		return protowire.AppendBytes(protowire.AppendTag(out, num, protowire.BytesType), randomMessage(r, fd.Message(), depth+1))
	case protoreflect.DoubleKind:
		numbers := []float64{0, math.Copysign(0, -1), 1, 1.5, 1 << 53, 1e21, 1e-7, 123456789012345680000, math.MaxFloat64, math.SmallestNonzeroFloat64}
		return protowire.AppendFixed64(protowire.AppendTag(out, num, protowire.Fixed64Type), math.Float64bits(numbers[r.IntN(len(numbers))]))
	default:
		numbers := []uint64{0, 0, 1, 1, 2, 5, 8, 9, 999999999, 123000000, 123456000, math.MaxUint64, 1 << 32, 1<<31 + 1}
		return protowire.AppendVarint(protowire.AppendTag(out, num, protowire.VarintType), numbers[r.IntN(len(numbers))])
	}
}
