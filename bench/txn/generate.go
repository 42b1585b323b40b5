package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/ordeal-dev/ordeal/history"
)

// plan says what a generated history is like.
type plan struct {
	txns, clients int
	// steps is the greatest number of steps of a transaction, each one a read or an
	// append with equal chance.
	steps int
	// keys are used at a time, and each is retired after so many appends.
	keys, appends int
	// crashed is the share of transactions without answer, half of which took effect.
	crashed float64
	// stale is the share of reads that miss the end of a list.
	stale float64
	// plant is how many times the anomaly is planted, at places spread evenly.
	plant   int
	anomaly string
	seed    uint64
}

// Anomalies that can be planted.
const (
	staleRead  = "stale-read"
	lostAppend = "lost-append"
	writeSkew  = "write-skew"
	lostUpdate = "lost-update"
	dirtyRead  = "dirty-read"
	longFork   = "long-fork"
	none       = "none"
)

func anomalies() []string {
	return []string{none, staleRead, lostAppend, writeSkew, lostUpdate, dirtyRead, longFork}
}

// list is a key in use.
type list struct {
	name  history.Key
	elems []int64
}

// generator makes a history.
type generator struct {
	p     plan
	r     *rand.Rand
	live  []*list
	made  int
	ops   []history.Operation
	free  []history.Time // by client
	fresh history.Process
	who   []history.Process
	now   history.Time
	// What is used again for every transaction.
	in, out []history.Step
	own     map[*list][]int64
}

// generate returns a history of closed-loop clients, in the order of the calls.
func generate(p plan) *history.History {
	g := &generator{
		p: p, r: rand.New(rand.NewPCG(p.seed, 1)), free: make([]history.Time, p.clients),
		ops: make([]history.Operation, 0, p.txns+8), own: make(map[*list][]int64),
	}
	for range p.keys {
		g.live = append(g.live, g.key())
	}
	for c := range p.clients {
		g.who = append(g.who, history.Process(c))
	}
	g.fresh = history.Process(p.clients)
	every := p.txns + 1
	if p.plant > 0 && p.anomaly != none {
		every = max(1, p.txns/(p.plant+1))
	}
	for i := range p.txns {
		if i%every == every-1 && i < every*p.plant {
			g.planted()
		}
		g.serial()
	}
	slices.SortStableFunc(g.ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	for i := range g.ops {
		g.ops[i].Index = int64(2 * i)
	}
	return &history.History{Ops: g.ops, Source: "generated"}
}

func (g *generator) key() *list {
	g.made++
	return &list{name: history.Key(strconv.Itoa(g.made))}
}

// serial adds a transaction that takes effect now, called before and answered after by a
// client that is free.
func (g *generator) serial() {
	g.now += history.Time(500 + g.r.IntN(1000))
	g.out = slices.Grow(g.out[:0], g.p.steps)
	steps := g.out[:1+g.r.IntN(g.p.steps)]
	clear(steps)
	for i := range steps {
		steps[i].Key = history.Key(strconv.Itoa(g.r.IntN(len(g.live)))) // its place: named below
		steps[i].F = history.StepRead
		if g.r.IntN(2) == 0 {
			steps[i].F = history.StepAppend
		}
	}
	lost := g.r.Float64() < g.p.crashed
	g.run(steps, lost, lost && g.r.IntN(2) == 0)
}

// run lets steps take effect on the lists, or not, and records them.
func (g *generator) run(steps []history.Step, crashed, without bool) {
	own := g.own
	clear(own)
	g.in = append(g.in[:0], steps...)
	in, out := g.in, steps
	for i := range steps {
		at, _ := strconv.Atoi(string(steps[i].Key))
		l := g.live[at]
		in[i].Key, out[i].Key = l.name, l.name
		if steps[i].F == history.StepAppend {
			v := int64(len(l.elems) + len(own[l]) + 1)
			if without {
				v = -int64(len(g.ops)*16 + i + 1)
			}
			own[l] = append(own[l], v)
			in[i].Value, out[i].Value = history.Int(v), history.Int(v)
			continue
		}
		seen := l.elems
		if g.p.stale > 0 && g.r.Float64() < g.p.stale {
			seen = seen[:len(seen)-g.r.IntN(min(len(seen), 3)+1)]
		}
		out[i].Value = history.Ints(slices.Concat(seen, own[l])...)
	}
	if !without {
		for l, elems := range own {
			l.elems = append(l.elems, elems...)
		}
	}
	g.retire()
	g.record(in, out, crashed)
}

// retire replaces the lists that are long enough.
func (g *generator) retire() {
	for i, l := range g.live {
		if len(l.elems) >= g.p.appends {
			g.live[i] = g.key()
		}
	}
}

// record adds an operation that took effect now.
func (g *generator) record(in, out []history.Step, crashed bool) {
	c := g.r.IntN(len(g.free))
	for range 8 { // whoever has been free for long
		if d := g.r.IntN(len(g.free)); g.free[d] < g.free[c] {
			c = d
		}
	}
	length := history.Time(len(g.free)) * 500
	call := max(g.free[c], g.now-history.Time(g.r.Int64N(int64(length))))
	g.now = max(g.now, call+1)
	op := history.Operation{
		F: "txn", Process: g.who[c], Call: call, In: history.Steps(in...), Type: history.OK,
		Return: g.now + 1 + history.Time(g.r.Int64N(int64(length))),
	}
	op.Ended = op.Return
	g.free[c] = op.Return + 1
	if crashed {
		op.Type, op.Return = history.Info, history.Never
		g.who[c] = g.fresh
		g.fresh++
	} else {
		op.Out = history.Steps(out...)
	}
	g.ops = append(g.ops, op)
}

func step(f history.F, l *list, v history.Value) history.Step {
	return history.Step{F: f, Key: l.name, Value: v}
}

// at records one transaction within given times, by a process of its own.
func (g *generator) at(call, ret history.Time, t history.Type, out ...history.Step) {
	in := slices.Clone(out)
	for i := range in {
		if in[i].F == history.StepRead {
			in[i].Value = history.Nil()
		}
	}
	op := history.Operation{F: "txn", Process: g.fresh, Call: call, Return: ret, Ended: ret,
		Type: t, In: history.Steps(in...)}
	g.fresh++
	if t == history.OK {
		op.Out = history.Steps(out...)
	}
	g.ops = append(g.ops, op)
}

// planted adds the anomaly once, on lists of its own.
func (g *generator) planted() {
	x, y := g.key(), g.key()
	t := g.now
	g.now += 100
	read := func(l *list, elems ...int64) history.Step {
		return step(history.StepRead, l, history.Ints(elems...))
	}
	add := func(l *list, n int64) history.Step { return step(history.StepAppend, l, history.Int(n)) }
	switch g.p.anomaly {
	case staleRead:
		g.at(t, t+10, history.OK, add(x, 1))
		g.at(t+20, t+30, history.OK, read(x))
		g.at(t+40, t+50, history.OK, read(x, 1))
	case lostAppend:
		g.at(t, t+10, history.OK, add(x, 1))
		g.at(t+20, t+30, history.OK, read(x))
	case writeSkew:
		g.at(t, t+10, history.OK, read(x), add(y, 1))
		g.at(t+1, t+11, history.OK, read(y), add(x, 1))
		g.at(t+20, t+30, history.OK, read(x, 1), read(y, 1))
	case lostUpdate:
		g.at(t, t+10, history.OK, read(x), add(x, 1))
		g.at(t+1, t+11, history.OK, read(x), add(x, 2))
		g.at(t+20, t+30, history.OK, read(x, 1, 2))
	case dirtyRead:
		g.at(t, t+10, history.Fail, add(x, 1))
		g.at(t+1, t+11, history.OK, read(x, 1))
	case longFork:
		g.at(t, t+20, history.OK, add(x, 1))
		g.at(t+1, t+21, history.OK, add(y, 1))
		g.at(t+2, t+22, history.OK, read(x, 1), read(y))
		g.at(t+3, t+23, history.OK, read(x), read(y, 1))
		g.at(t+30, t+40, history.OK, read(x, 1), read(y, 1))
	}
}

// describe says what was generated.
func (p plan) describe() string {
	return fmt.Sprintf("%d transactions, %d clients, %g %% crashed, %d × %s", p.txns, p.clients,
		100*p.crashed, p.plant, p.anomaly)
}
