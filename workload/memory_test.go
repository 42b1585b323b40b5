package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
			if st.Value = s.regs[st.Key]; st.Key[0] == 'e' {
				st.Value = history.List(slices.Clone(s.sets[st.Key])...)
			}
		case history.StepAppend:
			s.sets[st.Key] = append(s.sets[st.Key], st.Value)
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

// errEmpty is what a dequeue of nothing says.
var errEmpty = history.Definite(errors.New("empty: the queue is empty"))

// dequeue takes the oldest element; the caller holds the lock.
func (s *store) dequeue(key history.Key) (history.Value, error) {
	list := s.sets[key]
	if len(list) == 0 {
		return history.Nil(), errEmpty
	}
	s.sets[key] = list[1:]
	return list[0], nil
}

// others performs the operations of decisions, locks, logs and ids; the caller holds
// the lock.
func (s *store) others(op history.Event) (history.Value, error) {
	switch op.F {
	case Propose, Ask:
		if op.F == Propose && s.regs[op.Key].IsNil() {
			s.regs[op.Key] = op.Value
		}
		return s.regs[op.Key], nil
	case Echo:
		return op.Value, nil
	case Generate:
		s.token++
		return history.Int(s.token), nil
	case Acquire:
		return s.acquire(op)
	case Renew:
		return s.renew(op)
	case Release:
		if token, _ := op.Value.AsInt(); s.locks[op.Key] == token {
			delete(s.locks, op.Key)
		}
	case Append:
		s.sets[op.Key] = append(s.sets[op.Key], op.Value)
		return history.Int(int64(len(s.sets[op.Key]))), nil
	}
	return history.Nil(), nil
}

// acquire grants a lock that is free, and takes it back after its time.
func (s *store) acquire(op history.Event) (history.Value, error) {
	if s.locks[op.Key] != 0 {
		return history.Nil(), history.Definite(errors.New("held"))
	}
	s.token++
	token := s.token
	s.locks[op.Key] = token
	ttl, _ := op.Value.AsInt()
	s.ttls[token] = time.Duration(ttl) * time.Millisecond
	s.lapse(op.Key, token)
	return history.Map(history.Field{Name: "token", Value: history.Int(token)},
		history.Field{Name: "ttl_ms", Value: op.Value}), nil
}

// lapse takes a lock back after its time, unless it is renewed until then.
func (s *store) lapse(key history.Key, token int64) {
	ttl := s.ttls[token]
	s.ends[token] = s.now + history.Time(ttl)
	s.after(ttl, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.locks[key] == token && s.ends[token] <= s.now {
			delete(s.locks, key)
		}
	})
}

// renew lets the time of a lock begin anew.
func (s *store) renew(op history.Event) (history.Value, error) {
	token, _ := op.Value.AsInt()
	if s.locks[op.Key] != token {
		return history.Nil(), history.Definite(errors.New("not-held"))
	}
	s.lapse(op.Key, token)
	return history.Map(history.Field{Name: "token", Value: op.Value},
		history.Field{Name: "ttl_ms", Value: history.Int(s.ttls[token].Milliseconds())}), nil
}

// guarded writes a register with a token; the caller holds the lock.
func (s *store) guarded(op history.Event) (history.Value, error) {
	have, token := int64(-1), int64(0)
	if v := s.regs[op.Key]; !v.IsNil() {
		have, _ = v.At(0).AsInt()
	}
	if token, _ = op.Value.At(0).AsInt(); token < have {
		return history.Nil(), history.Definite(fmt.Errorf("stale-token: %d is in use", have))
	}
	s.regs[op.Key] = op.Value
	return history.Nil(), nil
}

func isLog(key history.Key) bool { return strings.HasPrefix(string(key), "log") }

// event is something that a store does at a later time.
type event struct {
	at history.Time
	do func()
}

// after does something later, in virtual time.
func (s *store) after(d time.Duration, do func()) {
	s.events = append(s.events, event{at: s.now + history.Time(d), do: do})
}

// advance moves virtual time on, and does what is due until then.
func (s *store) advance(now history.Time) {
	for {
		next := -1
		for i, e := range s.events {
			if e.at <= now && (next < 0 || e.at < s.events[next].at) {
				next = i
			}
		}
		if next < 0 {
			s.now = now
			return
		}
		e := s.events[next]
		s.events = slices.Delete(s.events, next, next+1)
		s.now = e.at
		e.do()
	}
}
