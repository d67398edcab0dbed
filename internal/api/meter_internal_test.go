package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/signalbox-dev/signalbox/internal/registry"
)

const testLargest = 2 << 20

// upload is a request with a body of a size; a length of -1 does not announce it.
func upload(ctx context.Context, size, length int, encoding string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://h/", strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		panic(err)
	}
	r.ContentLength = int64(length)
	if encoding != "" {
		r.Header.Set("Grpc-Encoding", encoding)
	}
	return r
}

func TestMeter_CountsWhatIsLargeOrMayBecomeSo(t *testing.T) {
	const all = max(largeInFlight, testLargest)
	for name, tc := range map[string]struct {
		size, length int
		encoding     string
		want         int64 // taken when the body was read
	}{
		"small":               {smallRequest, smallRequest, "", 0},
		"small, unannounced":  {smallRequest - 1, -1, "identity", 0},
		"large":               {smallRequest + 1, smallRequest + 1, "", smallRequest + 1},
		"large, unannounced":  {smallRequest + 1, -1, "", testLargest},
		"larger than allowed": {testLargest + 1, testLargest + 1, "", testLargest},
		"compressed":          {10, 10, "gzip", testLargest},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMeter(testLargest, time.Second)
			r := upload(t.Context(), tc.size, tc.length, tc.encoding)
			body := m.measure(r)
			if !m.room.TryAcquire(all) {
				t.Fatal("a request counts before its body is read")
			}
			m.room.Release(all)
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(tc.size) {
				t.Fatalf("read %d bytes, %v; want %d", n, err, tc.size)
			}
			if !m.room.TryAcquire(all - tc.want) {
				t.Fatalf("it counts as more than %d", tc.want)
			}
			if tc.want > 0 && m.room.TryAcquire(1) {
				t.Errorf("it counts as less than %d", tc.want)
			}
			m.room.Release(all - tc.want)
			if body != nil {
				body.leave()
				body.leave()
			}
			if !m.room.TryAcquire(all) {
				t.Error("it still counts when it was answered")
			}
		})
	}
}

func TestMeter_LargeRequestsWaitForEachOtherAndNotForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(testLargest, 10*time.Second)
		var inside []*meteredBody
		for range largeInFlight / testLargest {
			r := upload(t.Context(), testLargest, testLargest, "")
			inside = append(inside, m.measure(r))
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		late := upload(t.Context(), testLargest, testLargest, "")
		body := m.measure(late)
		_, err := io.Copy(io.Discard, late.Body)
		if e, ok := errors.AsType[*connect.Error](err); !ok || e.Code() != connect.CodeResourceExhausted || e != body.refused || time.Since(began) != 10*time.Second {
			t.Errorf("one more ended after %v with %v", time.Since(began), err)
		}
		body.leave()
		next := upload(t.Context(), testLargest, testLargest, "")
		m.measure(next)
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, next.Body)
			done <- err
		}()
		synctest.Wait()
		inside[0].leave()
		if err := <-done; err != nil {
			t.Errorf("one that waited until another left: %v", err)
		}
	})
}

func TestCardOf_RefusesMoreValuesThanACardHas(t *testing.T) {
	card := func(n int) *structpb.Struct {
		list := make([]*structpb.Value, n)
		for i := range list {
			list[i] = structpb.NewListValue(&structpb.ListValue{})
		}
		return &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewListValue(&structpb.ListValue{Values: list})}}
	}
	if _, err := cardOf(card(maxCardNodes-1), nil); err != nil {
		t.Errorf("a card at the bound: %v", err)
	}
	_, err := cardOf(card(maxCardNodes), nil)
	if e, ok := errors.AsType[*registry.CardError](err); !ok || !strings.Contains(e.Problem, "50000") {
		t.Errorf("a card over the bound: %v", err)
	}
	nested := &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStructValue(card(maxCardNodes - 1))}}
	if _, err := cardOf(nested, nil); err == nil {
		t.Error("values of inner objects do not count")
	}
}
