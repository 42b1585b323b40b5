package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/history"
)

// stalePartMost is for how many operations it is tried to do without each.
const stalePartMost = 150

// unwritten tells of a read of what nobody had written.
func (k *staleKey) unwritten(read int) Counterexample {
	op := k.from[read]
	got := fmt.Sprintf("Process %d read %s at %s, ", op.Process, op.Out, seconds(op.Return))
	if w := k.failed[k.ops[read].Value]; w != nil && k.write(k.ops[read].Value) < 0 {
		return counterexample(k.key, "its write had failed",
			got+"but the write of that had failed.", w, op)
	}
	if w := k.write(k.ops[read].Value); w >= 0 {
		cx := counterexample(k.key, "not written by then", fmt.Sprintf(
			"%sbut the write of that was only called at %s.", got, seconds(k.from[w].Call)), k.from[w], op)
		cx.Until = op.Return
		return cx
	}
	return counterexample(k.key, "nobody wrote it", got+"but nobody ever tried to write that.", op)
}

// write is the write of a value, -1 if there is none.
func (k *staleKey) write(v linear.Value) int {
	return slices.IndexFunc(k.ops, func(o linear.RegisterOp) bool { return o.Write && o.Value == v })
}

// tooOld tells of the read that is stale by most versions, more than claimed.
func (k *staleKey) tooOld(s *linear.Staleness, claimed int) Counterexample {
	read := slices.MaxFunc(s.Reads(), func(a, b linear.Stale) int { return a.Versions - b.Versions })
	between, shown := s.Between(read.Op)
	write, first := s.Origin(read.Op)
	part := append([]int{read.Op, write, first}, between[:claimed+1]...)
	part = append(part, shown[:claimed+1]...)
	op := k.from[read.Op]
	why := fmt.Sprintf("Process %d read %s (called at %s), after it had been replaced %s; claimed "+
		"are at most %s.", op.Process, op.Out, seconds(op.Call), count(read.Versions, "time", "times"),
		count(claimed, "version", "versions"))
	part, minimal := k.reduce(part, read.Op, func(s *linear.Staleness) bool {
		return slices.ContainsFunc(s.Reads(), func(r linear.Stale) bool { return r.Versions > claimed })
	})
	return k.show(part, read.Op, minimal, why)
}

// tooLong tells of the read that was stale for the longest time, more than claimed, or
// of two values of which the one or the other must have been.
func (k *staleKey) tooLong(
	s *linear.Staleness, claimed history.Time, opposed *linear.Conflict,
) Counterexample {
	longest := func(s *linear.Staleness) linear.Stale {
		return slices.MaxFunc(s.Reads(), func(a, b linear.Stale) int {
			return cmp.Compare(a.Time, b.Time)
		})
	}
	culprit := opposed.Ops[3]
	part := slices.Clone(opposed.Ops)
	read := longest(s)
	if read.Time > claimed {
		write, first := s.Origin(read.Op)
		culprit = read.Op
		part = []int{read.Op, write, first, read.Next}
	}
	for _, i := range slices.Clone(part) {
		if i >= 0 {
			part = append(part, k.write(k.ops[i].Value))
		}
	}
	part, minimal := k.reduce(part, culprit, func(s *linear.Staleness) bool {
		return s.Opposed(claimed) != nil
	})
	shown := k.part(part) // told is what can be seen in what is shown
	s, _ = linear.NewStaleness(shown.ops)
	why := shown.opposedWords(s.Opposed(claimed), claimed)
	if read = longest(s); read.Time > claimed {
		why = shown.longWords(read, claimed)
	}
	return k.show(part, culprit, minimal, why)
}

func (k *staleKey) longWords(read linear.Stale, claimed history.Time) string {
	op, next := k.from[read.Op], k.write(k.ops[read.Next].Value)
	return fmt.Sprintf("Process %d read %s (called at %s), which %s had replaced by %s, %s before; "+
		"claimed are at most %s.", op.Process, op.Out, seconds(op.Call),
		showOp(k.from[next]).Describe, seconds(k.from[read.Next].Return),
		time.Duration(read.Time).Round(time.Microsecond), time.Duration(claimed))
}

func (k *staleKey) opposedWords(c *linear.Conflict, claimed history.Time) string {
	say := func(i int) string {
		if c.Ops[i] < 0 {
			return "what was there at first"
		}
		return showOp(k.from[c.Ops[i]]).Describe
	}
	return fmt.Sprintf("Even if reads may be stale by %s, %s comes before %s, and %s before %s, "+
		"which are of the same two values.", time.Duration(claimed), say(0), say(1), say(2), say(3))
}

// part is a part of the operations by itself.
func (k *staleKey) part(part []int) *staleKey {
	p := &staleKey{key: k.key}
	for _, i := range part {
		p.ops, p.from = append(p.ops, k.ops[i]), append(p.from, k.from[i])
	}
	return p
}

// show makes a part of the operations a counterexample.
func (k *staleKey) show(part []int, culprit int, minimal bool, why string) Counterexample {
	cx := Counterexample{Key: k.key, Mark: "older than allowed", Why: why, Minimal: minimal}
	for _, i := range part {
		o := showOp(k.from[i])
		o.Culprit = i == culprit
		cx.Ops = append(cx.Ops, o)
		if i != culprit && k.ops[i].Return != history.Never {
			cx.Until = max(cx.Until, k.ops[i].Return)
		}
	}
	cx.Until = max(cx.Until, k.ops[culprit].Return)
	if len(part) <= edgesMost {
		cx.Edges = k.edges(part)
	}
	return cx
}

// reduce takes out operations as long as what stays breaks the claim, but not the writes
// of what reads that stay returned, and not the culprit; negative ones are none. It
// reports whether it tried, which it does not if there are too many.
func (k *staleKey) reduce(
	part []int, culprit int, breaks func(*linear.Staleness) bool,
) ([]int, bool) {
	part = slices.DeleteFunc(part, func(i int) bool { return i < 0 })
	slices.Sort(part)
	part = slices.Compact(part)
	if len(part) > stalePartMost {
		return part, false
	}
	for again := true; again; {
		again = false
		for at := len(part) - 1; at >= 0; at-- {
			out := k.ops[part[at]]
			rest := slices.Delete(slices.Clone(part), at, at+1)
			needed := out.Write && slices.ContainsFunc(rest, func(i int) bool {
				return !k.ops[i].Write && k.ops[i].Value == out.Value
			})
			if needed || part[at] == culprit {
				continue
			}
			if s, _ := linear.NewStaleness(k.part(rest).ops); s != nil && breaks(s) {
				part, again = rest, true
			}
		}
	}
	return part, true
}

// edges are who returned before whom, without what follows from others, and who read
// what from whom.
func (k *staleKey) edges(part []int) []Edge {
	before := func(a, b int) bool { return k.ops[a].Return < k.ops[b].Call }
	say := func(i int) string { return showOp(k.from[i]).Describe }
	var list []Edge
	for a, i := range part {
		for b, j := range part {
			switch {
			case k.ops[i].Write && !k.ops[j].Write && k.ops[i].Value == k.ops[j].Value:
				list = append(list, Edge{From: a, To: b, Kind: ReadFrom,
					Why: fmt.Sprintf("%s saw what %s made", say(j), say(i))})
			case before(i, j) && !slices.ContainsFunc(part, func(m int) bool {
				return before(i, m) && before(m, j)
			}):
				e := Edge{From: a, To: b, Kind: RealTime, Why: fmt.Sprintf("%s returned at %s, before %s "+
					"was called at %s", say(i), seconds(k.ops[i].Return), say(j), seconds(k.ops[j].Call))}
				if k.from[i].Process == k.from[j].Process {
					e.Kind = ProgramOrder
				}
				list = append(list, e)
			}
		}
	}
	return list
}
