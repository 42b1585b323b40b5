package nemesis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// fakeCluster is a cluster in memory that writes down every command. Run it in a
// synctest bubble: its commands take virtual time, so that the order of the log
// shows what waits for what.
type fakeCluster struct {
	start time.Time
	nodes []Node
	// traffic is how many messages each peer link carries between two looks at
	// the counters.
	traffic int64
	// toothless rules are accepted and have no effect.
	toothless bool
	// failing makes the command with this text fail that many times.
	failing map[string]int
	// silent says when nobody answers to a question for counters.
	silent func(now time.Duration) bool
	leader Node

	mu       sync.Mutex
	log      []string
	rules    map[Handle]map[Link]Rule
	counters map[Link]Counters
	procs    map[Node]ProcessState
	nextPID  int
	clocks   map[Node]*fakeClock
	disks    map[Node]*fakeDisk
	hosts    map[Node]*fakeHost
	admin    fakeAdmin
	// exited hears of processes that end by themselves.
	exited func(Node, string) bool
}

func newFakeCluster(n int) *fakeCluster {
	c := &fakeCluster{
		start: time.Now(), traffic: 100, failing: map[string]int{},
		rules: map[Handle]map[Link]Rule{}, counters: map[Link]Counters{},
		procs: map[Node]ProcessState{}, nextPID: 100,
		clocks: map[Node]*fakeClock{}, disks: map[Node]*fakeDisk{}, hosts: map[Node]*fakeHost{},
	}
	for i := range n {
		node := Node(fmt.Sprintf("n%d", i+1))
		c.nodes = append(c.nodes, node)
		c.nextPID++
		c.procs[node] = ProcessState{PID: c.nextPID}
		c.clocks[node] = &fakeClock{}
		c.clocks[node].restart(c.start)
		c.disks[node] = &fakeDisk{}
		c.hosts[node] = &fakeHost{injuries: map[Handle]Injury{}, kept: map[Handle]time.Time{}}
		c.admin.members = append(c.admin.members, node)
		c.admin.shards = append(c.admin.shards, node)
	}
	c.leader = "n1"
	return c
}

// Now is the virtual time since the cluster was made.
func (c *fakeCluster) Now() history.Time { return history.Time(time.Since(c.start)) }

// command logs a command, lets it take time, and fails if it was told to.
func (c *fakeCluster) command(ctx context.Context, took time.Duration, text string) error {
	c.note(text)
	if !vtime.Sleep(ctx, took) {
		return fmt.Errorf("%s: %w", text, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing[text] > 0 {
		c.failing[text]--
		return errors.New(text + " does not work")
	}
	return nil
}

func (c *fakeCluster) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Since(c.start).Round(time.Millisecond)
	c.log = append(c.log, fmt.Sprintf("%8s  %s", at, text))
}

// script is the log; what happens at the same time is in alphabetical order.
func (c *fakeCluster) script() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := slices.Clone(c.log)
	slices.SortStableFunc(lines, func(a, b string) int {
		if a[:8] == b[:8] {
			return strings.Compare(a, b)
		}
		return 0
	})
	return strings.Join(lines, "\n") + "\n"
}

// count returns how many commands of the log contain text.
func (c *fakeCluster) count(text string) int { return strings.Count(c.script(), text) }

func (c *fakeCluster) SetRules(ctx context.Context, h Handle, rules map[Link]Rule) error {
	links := slices.SortedFunc(maps.Keys(rules), compareLinks)
	what := fmt.Sprintf("%d links", len(links))
	if len(links) > 0 && rules[links[0]].Cut {
		what = "cut " + Grudge(links).String()
	} else if len(links) > 0 {
		what = rules[links[0]].describe() + " on " + what
	}
	if err := c.command(ctx, time.Millisecond, fmt.Sprintf("rules %s: %s", h, what)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules[h] = rules
	return nil
}

func (c *fakeCluster) Clear(ctx context.Context, h Handle) error {
	if err := c.command(ctx, time.Millisecond, fmt.Sprintf("clear %s", h)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rules, h)
	return nil
}

// worst is the combined rule of a link.
func (c *fakeCluster) worst(l Link) Rule {
	var w Rule
	if c.toothless {
		return w
	}
	for _, rules := range c.rules {
		r := rules[l]
		w.Cut = w.Cut || r.Cut
		w.Loss, w.Duplicate = max(w.Loss, r.Loss), max(w.Duplicate, r.Duplicate)
		w.Reorder, w.Corrupt = max(w.Reorder, r.Reorder), max(w.Corrupt, r.Corrupt)
		w.Replay, w.Delay = max(w.Replay, r.Replay), max(w.Delay, r.Delay, r.Jitter)
		w.Rate, w.Hold = max(w.Rate, r.Rate), max(w.Hold, r.Hold)
	}
	return w
}

// Counters sends the traffic since the last look and counts.
func (c *fakeCluster) Counters(ctx context.Context) (map[Link]Counters, error) {
	if c.silent != nil && c.silent(time.Duration(c.Now())) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range append(peerLinks(c.nodes), clientLinks(c.nodes)...) {
		r, n := c.worst(l), c.traffic
		if r.Cut {
			c.counters[l] = c.counters[l].plus(Counters{Dropped: n})
			continue
		}
		of := func(p float64) int64 { return int64(p * float64(n)) }
		grown := Counters{
			Passed: n - of(r.Loss), Lost: of(r.Loss), Duplicated: of(r.Duplicate),
			Reordered: of(r.Reorder), Corrupted: of(r.Corrupt), Replayed: of(r.Replay),
			Held: of(r.Hold),
		}
		if r.Delay > 0 {
			grown.Delayed = n
		}
		if r.Rate > 0 {
			grown.Throttled = n
		}
		c.counters[l] = c.counters[l].plus(grown)
	}
	return maps.Clone(c.counters), nil
}

func (c *fakeCluster) Probe(ctx context.Context) (map[Link]bool, error) {
	if err := c.command(ctx, 10*time.Millisecond, "probe"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[Link]bool{}
	for _, l := range append(peerLinks(c.nodes), clientLinks(c.nodes)...) {
		out[l] = !c.worst(l).Cut
	}
	return out, nil
}

// change runs a command on a process.
func (c *fakeCluster) change(
	ctx context.Context, text string, n Node, took time.Duration, f func(*ProcessState),
) error {
	if err := c.command(ctx, took, text+" "+string(n)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.procs[n]; !c.toothless {
		f(&s)
		c.procs[n] = s
	}
	return nil
}

func (c *fakeCluster) Kill(ctx context.Context, n Node) error {
	return c.change(ctx, "kill", n, 3*time.Millisecond, func(s *ProcessState) {
		*s = ProcessState{}
	})
}

func (c *fakeCluster) Start(ctx context.Context, n Node) error {
	if why := c.refuses(n); why != "" {
		c.note("start " + string(n) + ": " + why)
		return errors.New("exited before it was ready: " + why)
	}
	return c.change(ctx, "start", n, 20*time.Millisecond, func(s *ProcessState) {
		if s.PID == 0 {
			c.nextPID++
			*s = ProcessState{PID: c.nextPID}
			c.clocks[n].restart(time.Now())
			c.hosts[n].started = time.Now()
			c.disks[n].start++
		}
	})
}

func (c *fakeCluster) Pause(ctx context.Context, n Node) error {
	return c.change(ctx, "pause", n, 2*time.Millisecond, func(s *ProcessState) {
		s.Stopped = s.PID != 0
	})
}

func (c *fakeCluster) Resume(ctx context.Context, n Node) error {
	return c.change(ctx, "resume", n, 2*time.Millisecond, func(s *ProcessState) {
		s.Stopped = false
	})
}

func (c *fakeCluster) State(_ context.Context, n Node) (ProcessState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.procs[n], nil
}

// primaries names the leader, or the first node that runs when that one does not.
func (c *fakeCluster) primaries(context.Context) ([]Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == "" {
		return nil, nil
	}
	if c.procs[c.leader].PID != 0 {
		return []Node{c.leader}, nil
	}
	for _, n := range c.nodes {
		if c.procs[n].PID != 0 {
			return []Node{n}, nil
		}
	}
	return nil, nil
}

// sound reports what is wrong with the cluster: rules left, processes down.
func (c *fakeCluster) sound() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for h := range c.rules {
		errs = append(errs, fmt.Errorf("%s still has rules", h))
	}
	for n, s := range c.procs {
		if s.PID == 0 || s.Stopped {
			errs = append(errs, fmt.Errorf("%s is %+v", n, s))
		}
		if clock := c.clocks[n].setting; clock != (ClockSetting{}) {
			errs = append(errs, fmt.Errorf("the clock of %s is %+v", n, clock))
		}
		if disk := c.disks[n]; disk.setting != (DiskSetting{}) || disk.flipped {
			errs = append(errs, fmt.Errorf("the disk of %s is %+v", n, disk))
		}
		if err := c.hosts[n].injured(); err != nil {
			errs = append(errs, fmt.Errorf("the host of %s: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

// fakeLog keeps the events and writes them into the cluster's script, too.
type fakeLog struct {
	cluster *fakeCluster
	mu      sync.Mutex
	events  []history.Event
}

func (l *fakeLog) Record(e history.Event) history.Time {
	e.Time = l.cluster.Now()
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	if e.F == "topology" {
		l.cluster.note("-- healthy: " + listed(e.Value.Get("healthy")))
		return e.Time
	}
	id, _ := e.Value.Get("id").AsInt()
	what, _ := e.Value.Get("what").AsString()
	line := fmt.Sprintf("-- %s %s #%d %s", e.F, e.Type, id, what)
	if ev := e.Value.Get("evidence"); !ev.IsNil() {
		bit, _ := ev.Get("bit").AsBool()
		why, _ := ev.Get("why").AsString()
		line += fmt.Sprintf(" [bit %t: %s]", bit, why)
	}
	if e.Error != "" {
		line += " error: " + e.Error
	}
	l.cluster.note(line)
	return e.Time
}

// listed joins the strings of a list.
func listed(v history.Value) string {
	var out []string
	for i := range v.Len() {
		s, _ := v.At(i).AsString()
		out = append(out, s)
	}
	return strings.Join(out, " ")
}
