package models

import "github.com/ordeal-dev/ordeal/history"

// MutexIn is a call of a mutex.
type MutexIn struct{ Acquire bool }

// MutexOut is the answer of a mutex; only its outcome matters.
type MutexOut struct{ outcome outcome }

// Mutex is free at first. An acquire needs it free and a release needs it held;
// by whom is not asked, because a client that lost an answer comes back under
// another process. Failures are not answers about the state: whoever did not get
// a lock may have waited too short.
func Mutex() Model[bool, MutexIn, MutexOut] {
	return Model[bool, MutexIn, MutexOut]{
		Name: "mutex",
		Doc:  "a lock, free at first: acquire, release",
		Fs:   []history.F{"acquire", "release"},
		Init: func() bool { return false },
		Parse: func(op history.Operation) (p Op[MutexIn, MutexOut], err error) {
			switch op.F {
			case "acquire":
				p.In.Acquire = true
			case "release":
			default:
				return p, unknownF([]history.F{"acquire", "release"})
			}
			p.Out.outcome = outcomeOf(op)
			p.Facts.Ignored = op.Type == history.Fail
			if !p.Facts.Ignored {
				p.Facts.Observes = op.Type == history.OK
				p.Facts.Pinned = true
			}
			return p, nil
		},
		Apply: func(held bool, in MutexIn, out MutexOut) (bool, bool) {
			return in.Acquire, out.outcome == unknown || held != in.Acquire
		},
		Hash: func(held bool) uint64 {
			if held {
				return 1
			}
			return 0
		},
		Describe: func(in MutexIn, out MutexOut) string {
			if in.Acquire {
				return answer("acquire()", "", out.outcome)
			}
			return answer("release()", "", out.outcome)
		},
		DescribeState: func(held bool) string {
			if held {
				return "held"
			}
			return "free"
		},
	}
}
