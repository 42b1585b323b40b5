package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// QueueDetails are the Details of TotalQueue.
type QueueDetails struct {
	Queues       int `json:"queues"`
	Attempts     int `json:"attempts"`
	Acknowledged int `json:"acknowledged"`
	Dequeued     int `json:"dequeued"`
	// Drained queues were found empty after the last enqueue had been acknowledged:
	// only there can a loss be seen.
	Drained int `json:"drained"`
	// Lost counts elements that were acknowledged and never came out of a queue
	// that was empty in the end, less those that a dequeue of unknown outcome may
	// have taken. Duplicated elements came out more often than they were put in,
	// Unexpected ones without having been put in. Recovered elements came out
	// although nobody knew whether they had been put in, which is fine.
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	Unexpected int `json:"unexpected"`
	Recovered  int `json:"recovered"`
}

// TotalQueue checks that what goes into a queue comes out once, as Jepsen's
// total-queue does: enqueue x, every x its own, and dequeue -> x, nil or refused as
// "empty" when there is nothing. The order of elements is a matter of the model
// "queue". The time is linear.
func TotalQueue() Checker { return CheckerFunc(totalQueue) }

const queueName = "total-queue"

func totalQueue(ctx context.Context, h *history.History) Result {
	r := Result{Name: queueName}
	var d QueueDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, queueName); stop {
			return r
		}
		q := queueCheck{elements: make(map[models.Scalar]*queueElement)}
		for _, op := range ops {
			if err := q.note(op); err != nil {
				return Result{Name: queueName, Verdict: Unknown,
					Reason: misfit(op, "a queue", err).Error()}
			}
		}
		q.judge(key, &d, &bad)
	}
	r.Details = d
	r.Power = []Measure{measure("queues", d.Queues), measure("drained queues", d.Drained),
		measure("elements", d.Attempts), measure("acknowledged", d.Acknowledged),
		measure("dequeued", d.Dequeued), measure("recovered", d.Recovered)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Attempts, "element", "elements"), tallies(
		tally{d.Lost, "lost"}, tally{d.Duplicated, "duplicated"},
		tally{d.Unexpected, "unexpected"})),
		func() (Verdict, string) {
			if d.Dequeued == 0 || d.Drained == 0 {
				return Unknown, "nothing was shown: no element was dequeued, or no queue was drained"
			}
			return Valid, fmt.Sprintf("%d of %s acknowledged, %d came out, each once; %s drained",
				d.Acknowledged, count(d.Attempts, "element", "elements"), d.Dequeued,
				count(d.Drained, "queue was", "queues were"))
		})
	return r
}

// queueElement is what happened to one element.
type queueElement struct {
	value models.Scalar
	// in is the first attempt to enqueue that did not fail, refused one that did,
	// ins the number of attempts.
	in, refused *history.Operation
	ins         int
	// out are the dequeues that returned it.
	out []*history.Operation
}

// queueCheck is one queue.
type queueCheck struct {
	elements map[models.Scalar]*queueElement
	order    []*queueElement
	// empty is the last answer that there is nothing, by its call.
	empty *history.Operation
	// blind are the dequeues that may have taken any element.
	blind []*history.Operation
}

func (q *queueCheck) element(v history.Value) (*queueElement, error) {
	s, err := models.NewScalar(v)
	if err == nil && s.IsNil() {
		err = fmt.Errorf("nil cannot be an element")
	}
	if err != nil {
		return nil, err
	}
	e := q.elements[s]
	if e == nil {
		e = &queueElement{value: s}
		q.elements[s] = e
		q.order = append(q.order, e)
	}
	return e, nil
}

func (q *queueCheck) note(op *history.Operation) error {
	switch {
	case op.F == "enqueue":
		e, err := q.element(op.In)
		switch {
		case err != nil:
			return fmt.Errorf("value: %w", err)
		case op.Type == history.Fail:
			e.refused = op
			return nil
		}
		e.ins++
		if e.in == nil || op.Call < e.in.Call {
			e.in = op
		}
	case op.F != "dequeue":
		return fmt.Errorf("it has only enqueue and dequeue")
	case op.Type == history.Info:
		q.blind = append(q.blind, op)
	case foundEmpty(op):
		if q.empty == nil || op.Call > q.empty.Call {
			q.empty = op
		}
	case op.Type == history.OK:
		e, err := q.element(op.Out)
		if err != nil {
			return fmt.Errorf("result: %w", err)
		}
		e.out = append(e.out, op)
	}
	return nil
}

// foundEmpty reports whether a dequeue was told that there is nothing. A failure for
// another reason says nothing about the queue.
func foundEmpty(op *history.Operation) bool {
	if op.Type == history.OK {
		return op.Out.IsNil()
	}
	return op.Type == history.Fail && (op.Error == models.CodeEmpty ||
		strings.HasPrefix(op.Error, models.CodeEmpty+":"))
}

func (q *queueCheck) judge(key history.Key, d *QueueDetails, bad *violations) {
	d.Queues++
	var missing []*queueElement
	drained := q.empty != nil
	for _, e := range q.order {
		d.Attempts += e.ins
		d.Dequeued += len(e.out)
		acknowledged := e.in != nil && e.in.Type == history.OK
		switch {
		case acknowledged:
			d.Acknowledged++
			drained = drained && e.in.Return < q.empty.Call
		case len(e.out) > 0 && e.in != nil:
			d.Recovered++
		}
		if len(e.out) > 0 {
			e.judge(key, d, bad)
			continue
		}
		if acknowledged && q.empty != nil && e.in.Return < q.empty.Call {
			missing = append(missing, e)
		}
	}
	if drained {
		d.Drained++
	}
	blind := 0
	for _, op := range q.blind {
		if q.empty != nil && op.Call <= q.empty.Return {
			blind++
		}
	}
	if lost := len(missing) - blind; lost > 0 {
		d.Lost += lost
		mark := "one never came out"
		if blind == 0 {
			mark = fmt.Sprintf("%s never came out", missing[0].value)
		}
		bad.lose(func() Counterexample {
			return counterexample(key, mark, lossWords(missing, blind, q.empty), missing[0].in, q.empty)
		})
	}
}

// judge looks at an element that came out.
func (e *queueElement) judge(key history.Key, d *QueueDetails, bad *violations) {
	first := e.out[0]
	for _, op := range e.out {
		if op.Return < first.Return {
			first = op
		}
	}
	got := fmt.Sprintf("Process %d dequeued %s at %s, ", first.Process, e.value,
		seconds(first.Return))
	switch {
	case e.in == nil && e.refused != nil:
		d.Unexpected++
		bad.add(key, "its enqueue had failed",
			got+fmt.Sprintf("but process %d was told that enqueueing it had failed.",
				e.refused.Process), e.refused, first)
	case e.in == nil:
		d.Unexpected++
		bad.add(key, "nobody enqueued it", got+"which nobody ever tried to enqueue.", first)
	case e.in.Call > first.Return:
		d.Unexpected++
		bad.add(key, "not enqueued by then",
			got+fmt.Sprintf("but process %d only began to enqueue it at %s.",
				e.in.Process, seconds(e.in.Call)), e.in, first)
	case len(e.out) > e.ins:
		d.Duplicated++
		again := e.out[len(e.out)-1]
		if again == first {
			again = e.out[0]
		}
		bad.add(key, "came out once more",
			got+fmt.Sprintf("and process %d dequeued it once more, by %s, but it was put "+
				"in %s.", again.Process, seconds(again.Return), howOften(e.ins)),
			e.in, first, again)
	}
}

func lossWords(missing []*queueElement, blind int, empty *history.Operation) string {
	e := missing[0]
	s := fmt.Sprintf("Process %d found the queue empty (called at %s), but %s, which process %d had "+
		"enqueued by %s, never came out", empty.Process, seconds(empty.Call), e.value,
		e.in.Process, seconds(e.in.Return))
	if len(missing) > 1 {
		s += fmt.Sprintf(", nor did %s", count(len(missing)-1, "other", "others"))
	}
	if blind > 0 {
		s += fmt.Sprintf("; dequeues of unknown outcome can have taken %d of them", blind)
	}
	return s + "."
}
