package etcd

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
)

// TestClaim: what is promised follows from how one reads, unless more is claimed.
func TestClaim(t *testing.T) {
	for _, c := range []struct {
		chosen map[string]string
		want   []string // lines of the declaration
		lacks  string
	}{
		{nil, []string{"register: linearizable", "list-append: strict-serializable"}, "eventual"},
		{
			map[string]string{"reads": "serializable"},
			[]string{"list-append: serializable", "set-full: eventual"}, " register:",
		},
		{
			map[string]string{"reads": "serializable", "claim": "linearizable"},
			[]string{"register: linearizable", "set-full: linearizable"}, "eventual",
		},
		{
			map[string]string{"bin": "/opt/etcd", "args": "--unsafe-no-fsync", "election": "500"},
			[]string{"exec /opt/etcd", "--election-timeout 500", "--unsafe-no-fsync"}, "eventual",
		},
	} {
		values, err := System().Choose(c.chosen)
		if err != nil {
			t.Fatal(err)
		}
		text, err := System().Declare(values)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in %s", c.chosen, want, text)
			}
		}
		if strings.Contains(text, c.lacks) {
			t.Errorf("%v: there is %q in %s", c.chosen, c.lacks, text)
		}
	}
}

// TestSettings: what etcd would refuse is refused before.
func TestSettings(t *testing.T) {
	for name, value := range map[string]string{
		"election": "1s", "heartbeat": "-5", "quota": "2G", "lock-ttl": "0", "guard": "-1",
	} {
		values, err := System().Choose(map[string]string{name: value})
		if err != nil {
			t.Fatal(err)
		}
		_, derr := System().Declare(values)
		_, cerr := System().Client(values)
		if derr == nil && cerr == nil {
			t.Errorf("%s=%s was taken", name, value)
		}
	}
}

// TestStatus: who leads says so, and moves leadership when it is told to.
func TestStatus(t *testing.T) {
	f, at := serveFake(t)
	c := &client{}
	got, err := c.Status(t.Context(), at)
	if err != nil || !got.Leads || strings.Join(got.Members, " ") != "n1 n2" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Order(t.Context(), at, "transfer", "n2"); err != nil || f.moved != 3 {
		t.Errorf("moved to %d, %v", f.moved, err)
	}
	if err := c.Order(t.Context(), at, "transfer", "n9"); !history.IsDefinite(err) {
		t.Errorf("moved to nobody: %v", err)
	}
	var _ native.Operator = c
}
