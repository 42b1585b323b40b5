package workload

import (
	"errors"

	"github.com/ordeal-dev/ordeal/history"
)

// transact performs a transaction; the caller holds the lock.
func (s *store) transact(op history.Event) (history.Value, error) {
	steps, err := history.ParseSteps(op.Value)
	if err != nil {
		return history.Nil(), history.Definite(err)
	}
	for i := range steps {
		st := &steps[i]
		switch st.F {
		case history.StepRead:
			st.Value = s.regs[st.Key]
		case history.StepAdd:
			have, _ := s.regs[st.Key].AsInt()
			n, _ := st.Value.AsInt()
			s.regs[st.Key] = history.Int(have + n)
		case history.StepWrite:
			s.regs[st.Key] = st.Value
		default:
			return history.Nil(), history.Definite(errors.New("bad-request"))
		}
	}
	return history.Steps(steps...), nil
}
