package session

import "slices"

// derive says why a read has to see a write that it did not return: the fewest steps,
// from the write to the read.
func (d *decider) derive(read, write int32) []Step {
	v := deriver{d: d, found: make(map[int32]via), wrote: make([]int32, len(d.sessions)),
		had: make([]int32, len(d.sessions))}
	v.begin(read)
	for at := 0; at < len(v.queue); at++ {
		if v.queue[at] == write {
			break
		}
		v.expand(v.queue[at])
	}
	var steps []Step
	for w := write; w != noOp; {
		from, known := v.found[w]
		if !known {
			return nil
		}
		steps = append(steps, from.steps...)
		w = from.next
	}
	return steps
}

// via is how a write is seen: as some other one is, or noOp for the read itself.
type via struct {
	next  int32
	steps []Step
}

type deriver struct {
	d     *decider
	found map[int32]via
	queue []int32
	// wrote and had say how far into each session somebody went already.
	wrote, had []int32
}

func (v *deriver) reach(write, next int32, steps ...Step) {
	if _, known := v.found[write]; !known {
		v.found[write] = via{next: next, steps: steps}
		v.queue = append(v.queue, write)
	}
}

// begin finds what a read has to see by itself.
func (v *deriver) begin(read int32) {
	d := v.d
	for _, w := range d.returned[read] {
		v.reach(w, noOp, Step{int(w), int(read), Returned})
	}
	for _, i := range slices.Backward(d.sessions[d.h.Ops[read].Session][:d.place[read]]) {
		op := &d.h.Ops[i]
		switch {
		case op.Write && !op.Crashed && d.g.has(ReadYourWrites):
			v.reach(i, noOp, Step{int(i), int(read), Own})
		case !op.Write && d.g.has(MonotonicReads):
			for _, w := range d.returned[i] {
				v.reach(w, noOp, Step{int(w), int(i), Returned}, Step{int(i), int(read), Again})
			}
		}
	}
}

// expand finds what a write brings along.
func (v *deriver) expand(write int32) {
	d := v.d
	s, place := d.h.Ops[write].Session, d.place[write]
	from := min(v.wrote[s], v.had[s])
	if from >= place {
		return
	}
	for _, i := range slices.Backward(d.sessions[s][from:place]) {
		op := &d.h.Ops[i]
		switch {
		case op.Write && !op.Crashed && d.g.has(MonotonicWrites):
			v.reach(i, write, Step{int(i), int(write), Wrote})
		case !op.Write && d.g.has(WritesFollowReads):
			for _, w := range d.returned[i] {
				v.reach(w, write, Step{int(w), int(i), Returned}, Step{int(i), int(write), Had})
			}
		}
	}
	v.wrote[s], v.had[s] = place, place
}
