package redis

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native/nativetest"
)

// TestRealFailover: every operation at a real Redis; then its primary dies, a replica takes
// over, and what was there is there. As long as a node is missing the cluster has not
// recovered.
func TestRealFailover(t *testing.T) {
	nativetest.Installed(t, "", "redis-server")
	c := nativetest.Start(t, System(), map[string]string{"down-after": "1000", "wait": "2",
		"wait-timeout": "10000"}, 3, "register", history.Event{F: "read", Key: "k"})
	client := c.Client.(*Client)
	for _, e := range c.Endpoints {
		nativetest.Await(t, e+" is in step", func() error { return client.Probe(t.Context(), e) })
	}
	say := func(object, f, value, want string) nativetest.Case {
		return nativetest.Case{Object: object, F: f, Value: value, Want: want}
	}
	nativetest.Run(t, c, slices.Concat(nativetest.Registers(), []nativetest.Case{
		say("counter", "read", "null", "ok 0"), say("counter", "add", "5", "ok 5"),
		say("counter", "add", "-2", "ok -2"), say("counter", "read", "null", "ok 3"),
		say("queue", "dequeue", "null", "ok null"), say("queue", "enqueue", "8", "ok 8"),
		say("queue", "enqueue", "9", "ok 9"), say("queue", "dequeue", "null", "ok 8"),
		say("log", "read", "null", "ok []"), say("log", "append", "8", "ok 0"),
		say("log", "append", "9", "ok 1"), say("log", "read", "null", "ok [8,9]"),
	}))
	leader := func() (int, error) {
		for i, e := range c.Endpoints {
			if s, err := client.Status(t.Context(), e); err == nil && s.Leads {
				return i, nil
			}
		}
		return 0, errors.New("nobody leads")
	}
	first, err := leader()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-c.Nodes[first].Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	nativetest.Await(t, "another one leads", func() error { _, err := leader(); return err })
	other := c.Endpoints[(first+1)%3]
	s := nativetest.Open(t, client, "set", other)
	nativetest.Await(t, "it is found", func() error {
		if got := nativetest.Say(t, s, "read", "k", "null"); got != "ok [7,8]" && got != "fail" {
			t.Fatalf("read %s", got)
		} else if got == "fail" { // two replicas, which wait=2 asks for, are there no more
			return client.agreeOnPrimary(t, c.Endpoints, first)
		}
		return nil
	})
	if err := client.Probe(t.Context(), other); err == nil {
		t.Error("a node is missing, and all is well")
	}
}

// agreeOnPrimary fails until the Sentinels that are left name a node that is.
func (c *Client) agreeOnPrimary(t *testing.T, endpoints []string, gone int) error {
	for i, e := range endpoints {
		if i == gone {
			continue
		}
		address, err := c.primary(t.Context(), e)
		if err != nil || address == endpoints[gone] {
			return fmt.Errorf("the primary is at %s: %w", address, err)
		}
	}
	return nil
}
