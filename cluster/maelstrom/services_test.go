package maelstrom

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// serve asks a service and returns its answer in short: ok, a value, or an error's code.
func serve(t *testing.T, s service, now time.Duration, from, request string) string {
	t.Helper()
	var b maelstrom.Body
	if err := json.Unmarshal([]byte(request), &b); err != nil {
		t.Fatal(err)
	}
	reply, wait := s.handle(now, from, b)
	if wait < 0 || wait > answerMost {
		t.Errorf("%s takes %v", request, wait)
	}
	switch text := fmt.Sprint(reply["type"]); {
	case text == "error":
		return fmt.Sprint(reply["code"])
	case reply["value"] != nil:
		return string(reply["value"].(json.RawMessage))
	case reply["ts"] != nil:
		return fmt.Sprint(reply["ts"])
	default:
		return strings.TrimPrefix(text, b.Type()+"_")
	}
}

// TestStores: what all stores have in common, as one client alone sees it.
func TestStores(t *testing.T) {
	for _, name := range []string{"lin-kv", "seq-kv", "lww-kv"} {
		s := newServices(1)[name]
		now := time.Duration(0)
		for _, c := range [][2]string{
			{`{"type":"read","key":"x"}`, "20"},
			{`{"type":"cas","key":"x","from":1,"to":2}`, "20"},
			{`{"type":"write","key":"x","value":{"b":1, "a":[2]}}`, "ok"},
			{`{"type":"read","key":"x"}`, `{"a":[2],"b":1}`},
			{`{"type":"cas","key":"x","from":1,"to":2}`, "22"},
			{`{"type":"cas","key":"x","from":{"a":[2],"b":1},"to":2}`, "ok"},
			{`{"type":"read","key":"x"}`, "2"},
			{`{"type":"cas","key":"y","from":null,"to":7,"create_if_not_exists":true}`, "ok"},
			{`{"type":"cas","key":"z","to":7,"create_if_not_exists":true}`, "ok"},
			{`{"type":"cas","key":"y","from":8,"to":9,"create_if_not_exists":true}`, "22"},
			{`{"type":"read","key":"y"}`, "7"},
			{`{"type":"write","key":1,"value":18446744073709551617}`, "ok"},
			{`{"type":"read","key":1}`, "18446744073709551617"},
			{`{"type":"read","key":"1"}`, "20"},
			{`{"type":"write","key":"n","value":null}`, "ok"},
			{`{"type":"read","key":"n"}`, "null"},
			{`{"type":"read"}`, "12"}, {`{"type":"write","key":"x"}`, "12"},
			{`{"type":"cas","key":"x","from":1}`, "12"}, {`{"type":"cas","key":"x","to":1}`, "12"},
			{`{"type":"delete","key":"x"}`, "10"}, {`{}`, "10"},
		} {
			now += 10 * time.Second // whatever gossips has done so
			if got := serve(t, s, now, "n1", c[0]); got != c[1] {
				t.Errorf("%s: %s is answered %s, want %s", name, c[0], got, c[1])
			}
		}
	}
}

func TestOracle(t *testing.T) {
	s := newServices(1)["lin-tso"]
	for i := range 5 {
		if got := serve(t, s, 0, fmt.Sprintf("n%d", i), `{"type":"ts"}`); got != fmt.Sprint(i+1) {
			t.Errorf("%s, want %d", got, i+1)
		}
	}
	if got := serve(t, s, 0, "n1", `{"type":"read","key":1}`); got != "10" {
		t.Errorf("read of an oracle: %s", got)
	}
}

// TestSequential: there is one order of states, and no client goes back in it; some reads
// are old, none is older than a second.
func TestSequential(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	s := newServices(7)["seq-kv"]
	type written struct {
		key int
		at  time.Duration
	}
	var writes []written // the value of a write is its place here, from 1
	// span returns from which to which write a key held what the n-th write, or none, wrote.
	span := func(key, n int) (from, until int) {
		until = len(writes) + 1
		for i := n; i < len(writes); i++ {
			if writes[i].key == key {
				until = i + 1
				break
			}
		}
		return n, until
	}
	seen, stale := map[string]int{}, 0
	now := time.Duration(0)
	for range 5000 {
		now += time.Duration(rng.IntN(int(20 * time.Millisecond)))
		from, key := fmt.Sprintf("n%d", 1+rng.IntN(4)), rng.IntN(5)
		if rng.IntN(2) == 0 {
			writes = append(writes, written{key, now})
			serve(t, s, now, from, fmt.Sprintf(`{"type":"write","key":%d,"value":%d}`, key, len(writes)))
			seen[from] = len(writes)
			continue
		}
		got := serve(t, s, now, from, fmt.Sprintf(`{"type":"read","key":%d}`, key))
		n := 0
		if got != "20" {
			if _, err := fmt.Sscan(got, &n); err != nil {
				t.Fatal(err)
			}
		}
		first, until := span(key, n)
		if got == "20" && until <= len(writes) && n == 0 {
			first = 0
		}
		if seen[from] >= until {
			t.Fatalf("%s has seen the state %d, and reads one before %d", from, seen[from], until)
		}
		if seen[from] = max(seen[from], first); until <= len(writes) {
			stale++
			if old := now - writes[until-1].at; old > staleFor {
				t.Errorf("a read is %v old", old)
			}
		}
	}
	if stale < 100 {
		t.Errorf("only %d reads were old", stale)
	}
	if kept := len(s.(*kvService).store.(*sequential).keys["0"]); kept > 200 {
		t.Errorf("%d versions of a key are kept", kept)
	}
}

// TestLastWrite: replicas differ, and agree in the end.
func TestLastWrite(t *testing.T) {
	s := newServices(7)["lww-kv"]
	values := func(now time.Duration) map[string]bool {
		all := map[string]bool{}
		for range 50 {
			all[serve(t, s, now, "n1", `{"type":"read","key":"x"}`)] = true
		}
		return all
	}
	for i := range 20 {
		serve(t, s, time.Second, "n1", fmt.Sprintf(`{"type":"write","key":"x","value":%d}`, i))
	}
	if got := values(time.Second); len(got) < 2 {
		t.Errorf("all replicas hold %v at once", got)
	}
	if got := values(10 * time.Second); len(got) != 1 || got["20"] {
		t.Errorf("in the end there is %v", got)
	}
}
