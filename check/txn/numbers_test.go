package txn

import (
	"fmt"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestKeyNumbers: keys of all lengths keep the numbers that they were given.
func TestKeyNumbers(t *testing.T) {
	x := &keyNumbers{long: map[history.Key]uint32{}}
	var keys []history.Key
	for i := range 3000 {
		keys = append(keys, history.Key(fmt.Sprint(i)), history.Key(fmt.Sprintf("key-%d", i)))
	}
	keys = append(keys, "", "\x00", "\x00\x00", "a", "\x00a", "a\x00", "sevenby", "eightbyt")
	for i, k := range keys {
		if n, ok := x.find(k); ok {
			t.Fatalf("%q has the number %d before it was given one", k, n)
		}
		x.add(k, uint32(i))
	}
	for i, k := range keys {
		if n, ok := x.find(k); !ok || n != uint32(i) {
			t.Errorf("%q has the number %d, %v, want %d", k, n, ok, i)
		}
	}
}

// TestSessionNumbers: a session is a process of a group.
func TestSessionNumbers(t *testing.T) {
	x := newSessionNumbers()
	type name struct {
		group   history.Key
		process history.Process
	}
	want := map[name]int32{}
	for range 2 {
		for _, g := range []history.Key{"", "a", "b", "a", ""} {
			for _, p := range []history.Process{0, 1, 1 << 32, 1<<32 + 1, -1, 1<<63 - 1, 0} {
				got := x.number(g, p)
				if n, ok := want[name{g, p}]; ok && n != got {
					t.Fatalf("process %d of %q was %d and is %d", p, g, n, got)
				}
				want[name{g, p}] = got
			}
		}
	}
	seen := map[int32]bool{}
	for _, n := range want {
		if seen[n] || int(n) >= len(want) {
			t.Errorf("number %d is there twice, or too great", n)
		}
		seen[n] = true
	}
}
