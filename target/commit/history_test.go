package commit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// The checks in this file see only what the clients saw.

// serializable checks that the transactions could have happened one at a time,
// each between its begin and its end: the lists show their own histories, from
// which the dependencies between transactions follow (Adya, 1999; Kingsbury and
// Alvaro, "Elle", 2020), and these must have no cycle. The bank's total is
// constant, and the twins are always equal.
func (c *clients) serializable(*sim.Cluster) error {
	for _, t := range c.all {
		if t.done && t.outcome == protocol.OK {
			if err := t.sums(); err != nil {
				return err
			}
		}
	}
	g := &graph{edges: map[*transaction]map[*transaction]string{}}
	happened := map[*transaction]bool{}
	for i := range listKeys {
		if err := g.list(listKey(i), c.all, happened); err != nil {
			return err
		}
	}
	for _, a := range c.all {
		for _, b := range c.all {
			committed := a.done && a.outcome == protocol.OK
			if committed && (happened[b] || b.done && b.outcome == protocol.OK) && a.end < b.begin {
				g.edge(a, b, "real time")
			}
		}
	}
	return g.cycle(c.all)
}

// sums checks what one transaction saw of the bank and the twins.
func (t *transaction) sums() error {
	seen := map[string]string{}
	for _, s := range t.steps {
		if s.F == "r" && s.Value != "null" {
			seen[s.Key] = s.Value
		}
	}
	total, all := 0, true
	for i := range accounts {
		v, there := seen[account(i)]
		n, _ := strconv.Atoi(v)
		total += n
		all = all && there
	}
	if all && total != 0 {
		return fmt.Errorf("the bank's total is %d: %v", total, t)
	}
	twins := twinKeys()
	if a, b := seen[twins[0]], seen[twins[1]]; a != b && reads(t, twins[0]) && reads(t, twins[1]) {
		return fmt.Errorf("the twins differ: %v", t)
	}
	return nil
}

func reads(t *transaction, key string) bool {
	for _, s := range t.steps {
		if s.Key == key && s.F == "r" {
			return true
		}
	}
	return false
}

type graph struct {
	edges map[*transaction]map[*transaction]string
}

func (g *graph) edge(a, b *transaction, why string) {
	if a == nil || b == nil || a == b {
		return
	}
	if g.edges[a] == nil {
		g.edges[a] = map[*transaction]string{}
	}
	if g.edges[a][b] == "" {
		g.edges[a][b] = why
	}
}

// list adds the dependencies over one list.
func (g *graph) list(key string, all []*transaction, happened map[*transaction]bool) error {
	writer := map[string]*transaction{}
	var longest []string
	var seenAt time.Duration
	for _, t := range all {
		for _, s := range t.steps {
			if s.Key != key {
				continue
			}
			if s.F == "append" {
				writer[s.Value] = t
			} else if l := items(s.Value); t.ok() && len(l) > len(longest) {
				longest, seenAt = l, t.begin
			}
		}
	}
	at := map[string]int{}
	for i, x := range longest {
		t := writer[x]
		if _, twice := at[x]; twice || t == nil || t.done && t.outcome == protocol.Fail {
			return fmt.Errorf("list %s: %s is there twice (%t) or was never appended: %v",
				key, x, twice, t)
		}
		at[x] = i
		happened[t] = true
		if i > 0 {
			g.edge(writer[longest[i-1]], t, "ww "+key)
		}
	}
	for _, t := range all {
		if !t.ok() {
			continue
		}
		for _, s := range t.steps {
			if s.Key != key {
				continue
			}
			if s.F == "append" {
				if _, there := at[s.Value]; !there && t.end < seenAt {
					return fmt.Errorf("list %s: lost %s: %v", key, s.Value, t)
				}
				continue
			}
			l := items(s.Value)
			if !slices.Equal(l, longest[:len(l)]) {
				return fmt.Errorf("list %s: %v is no prefix of %v: %v", key, l, longest, t)
			}
			if len(l) > 0 {
				g.edge(writer[l[len(l)-1]], t, "wr "+key)
			}
			if len(l) < len(longest) {
				g.edge(t, writer[longest[len(l)]], "rw "+key)
			}
		}
	}
	return nil
}

func (t *transaction) ok() bool { return t.done && t.outcome == protocol.OK }

func items(value string) []string {
	l := strings.Trim(value, "[]")
	if l == "" || l == "null" {
		return nil
	}
	return strings.Split(l, ",")
}

// cycle reports a cycle of dependencies.
func (g *graph) cycle(all []*transaction) error {
	state := map[*transaction]int{} // 1: on the path, 2: clean
	var path []*transaction
	var visit func(t *transaction) error
	visit = func(t *transaction) error {
		state[t] = 1
		path = append(path, t)
		for u, why := range g.edges[t] {
			if state[u] == 1 {
				var b strings.Builder
				for _, p := range path[slices.Index(path, u):] {
					fmt.Fprintf(&b, "\n  %v", p)
				}
				return fmt.Errorf("a cycle, closed by %s:%s", why, b.String())
			}
			if state[u] == 0 {
				if err := visit(u); err != nil {
					return err
				}
			}
		}
		path = path[:len(path)-1]
		state[t] = 2
		return nil
	}
	for _, t := range all {
		if state[t] == 0 {
			if err := visit(t); err != nil {
				return err
			}
		}
	}
	return nil
}
