package world

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// received is how many messages a node has handled.
func received(t *testing.T, c *Cluster, i int) uint64 {
	t.Helper()
	body, err := c.Status(i)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Counters map[string]uint64 `json:"counters"`
	}
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	return s.Counters["messages_received"]
}

// TestResumedInPieces: a process that is resumed comes to what piled up piece by piece, so that it
// can speak before it knows all that it was told; and it comes to everything.
func TestResumedInPieces(t *testing.T) {
	early := 0
	for seed := range uint64(8) {
		if err := vtime.Run(context.Background(), func(ctx context.Context) {
			if speaksEarly(ctx, t, seed) {
				early++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if early < 4 {
		t.Errorf("with %d seeds of 8 it spoke before it had heard everything, want most", early)
	}
}

// speaksEarly pauses a node and resumes it, and reports whether it said something before it
// had handled all messages that came meanwhile.
func speaksEarly(ctx context.Context, t *testing.T, seed uint64) (early bool) {
	const asked = 40
	w := vtime.From(ctx)
	var c *Cluster
	piled, resumed := uint64(0), false
	c, err := Open(w, Config{
		Protocol: "decide", Nodes: []string{"n1", "n2", "n3"}, Seed: seed,
		RequestTimeout: time.Second,
		Carry: func(from, to, _ int, deliver func()) {
			if to == 0 && !resumed {
				piled++
			}
			early = early || from == 0 && resumed && received(t, c, 0) < piled
			w.After(time.Millisecond, deliver)
		},
	})
	if err != nil {
		t.Error(err)
		return false
	}
	for i := range 3 {
		if err := c.Start(i); err != nil {
			t.Error(err)
		}
	}
	vtime.Sleep(ctx, 15*time.Millisecond)
	c.Pause(0)
	answered := 0
	for i := range asked {
		body := fmt.Sprintf(`{"object":"decide","f":"propose","key":"k%d","value":1}`, i)
		err := c.Post(i%3, []byte(body), func(status int, _ []byte) { answered++ })
		if err != nil {
			t.Error(err)
		}
	}
	vtime.Sleep(ctx, 50*time.Millisecond)
	resumed = true
	c.Resume(0)
	vtime.Sleep(ctx, 2*time.Second)
	if answered != asked || received(t, c, 0) < piled {
		t.Errorf("seed %d: %d of %d were answered, %d of at least %d messages handled", seed,
			answered, asked, received(t, c, 0), piled)
	}
	for i := range 3 {
		c.Kill(i)
	}
	return early
}
