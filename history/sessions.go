package history

import (
	"bytes"
	"fmt"
)

// Checkers of transactions have formats that say what each session did, in its order,
// and nothing of time: Plume's, AWDIT's, dbcop's. Their transactions write registers.

// sessions collects transactions.
type sessions struct {
	j     *joiner
	f     *feeder
	words *interner
	// zeros are the keys that anybody tried to write 0 to. Where initial is set, a 0
	// that was read from any other key is what was there in the beginning.
	zeros   map[Key]bool
	initial bool
	txns    []sessionTxn
}

// sessionTxn is one transaction.
type sessionTxn struct {
	process Process
	typ     Type
	steps   []Step
	line    int
}

func newSessions(f *feeder, j *joiner) *sessions {
	return &sessions{j: j, f: f, words: newInterner(), zeros: make(map[Key]bool)}
}

// begin adds an empty transaction and returns its number.
func (s *sessions) begin(p Process, t Type, line int) int {
	s.txns = append(s.txns, sessionTxn{process: p, typ: t, line: line})
	return len(s.txns) - 1
}

// step adds a read or write of a number to a transaction.
func (s *sessions) step(txn int, f F, key []byte, v Value) {
	k := Key(s.words.intern(key))
	if n, is := v.AsInt(); is && n == 0 && f == StepWrite {
		s.zeros[k] = true
	}
	t := &s.txns[txn]
	t.steps = append(t.steps, Step{F: f, Key: k, Value: v})
}

// finish turns the transactions into the history.
func (s *sessions) finish() error {
	h := s.j.h
	if s.j.o.Independent {
		return fmt.Errorf("read history %s: transactions have no independent keys", h.Source)
	}
	h.Untimed = true
	h.Ops = make([]Operation, 0, len(s.txns))
	for i := range s.txns {
		t := &s.txns[i]
		if len(t.steps) == 0 {
			continue
		}
		op := Operation{
			Index: int64(2 * i), Call: 0, Return: 1, Ended: 1, Process: t.process, F: unnamed,
			Type: Info,
		}
		ends := op.Return
		op.Return, op.Ended = Never, Never
		in := make([]Step, len(t.steps))
		for k, step := range t.steps {
			if n, is := step.Value.AsInt(); is && n == 0 && s.initial && !s.zeros[step.Key] {
				t.steps[k].Value = Nil()
			}
			if in[k] = step; step.F == StepRead {
				in[k].Value = Nil()
			}
		}
		op.In = stepList(kindSteps, in)
		h.Ops = append(h.Ops, op)
		last := &h.Ops[len(h.Ops)-1]
		err := s.j.accept(last)
		last.Return, last.Ended, last.Type = ends, ends, t.typ
		if last.Out = stepList(kindSteps, t.steps); err == nil {
			err = s.j.accept(last)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", h.Source, t.line, err)
		}
	}
	s.j.last = 1
	return nil
}

// lines calls read for every line, without its end, as a part of its own.
func (s *sessions) lines(read func(c *part, line []byte) error) error {
	for len(s.f.buf) > 0 || !s.f.eof {
		c, _, err := s.f.firstLine()
		if err != nil {
			return fmt.Errorf("read history %s: line %d: %w", s.j.h.Source, s.f.line, err)
		}
		if err := read(c, bytes.TrimRight(c.b, "\r\n")); err != nil {
			return c.place(s.j.h.Source, err)
		}
		if s.j.o.Progress != nil && c.line%(1<<16) == 0 {
			s.j.o.Progress(Progress{Bytes: s.f.in.taken(), Total: s.f.in.size})
		}
	}
	return s.finish()
}

// sessionsForm reports whether the first line looks like one of AWDIT's text.
func sessionsForm(start []byte) bool {
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	w := textLine{b: bytes.TrimRight(line, " \t\r")}
	_, err := w.access()
	return err == nil || w.rule() != 0
}

// readSessions reads the text of AWDIT's tests:
//
//	w 0 1      writes 1 to the register 0
//	-----      ends a transaction
//	r 0 1      reads 1
//	=====      ends a session
func readSessions(f *feeder, j *joiner) error {
	s := newSessions(f, j)
	process, txn := Process(0), -1
	return s.lines(func(c *part, line []byte) error {
		w := textLine{b: line}
		switch w.rule() {
		case '=':
			process, txn = process+1, -1
			return nil
		case '-':
			txn = -1
			return nil
		}
		if w.space(); w.i == len(w.b) {
			return nil
		}
		a, err := w.access()
		if err != nil {
			return err
		}
		if txn < 0 {
			txn = s.begin(process, OK, c.line)
		}
		s.step(txn, a.f, a.key, a.value)
		return nil
	})
}

// plumeForm reports whether the first line looks like one of Plume's.
func plumeForm(start []byte) bool {
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	w := textLine{b: bytes.TrimRight(line, " \t\r")}
	_, err := w.plume()
	return err == nil
}

// readPlume reads the text of Plume, w(key,value,session,transaction) a line, where
// -1 as a transaction is one that was aborted. Registers are 0 in the beginning.
func readPlume(f *feeder, j *joiner) error {
	s := newSessions(f, j)
	s.initial = true
	txns := make(map[[2]int64]int)
	return s.lines(func(c *part, line []byte) error {
		w := textLine{b: line}
		if w.space(); w.i == len(w.b) {
			return nil
		}
		a, err := w.plume()
		if err != nil {
			return err
		}
		if a.txn == -1 {
			if a.f == StepWrite {
				s.step(s.begin(a.session, Fail, c.line), a.f, a.key, a.value)
			}
			return nil
		}
		id := [2]int64{int64(a.session), a.txn}
		txn, begun := txns[id]
		if !begun {
			txn = s.begin(a.session, OK, c.line)
			txns[id] = txn
		}
		s.step(txn, a.f, a.key, a.value)
		return nil
	})
}

// access is a read or a write.
type access struct {
	f       F
	key     []byte
	value   Value
	session Process
	txn     int64
}

// textLine reads a line from the left.
type textLine struct {
	b []byte
	i int
}

func (w *textLine) want(what string) error {
	p := parser{b: w.b, i: w.i}
	return p.want(what)
}

func (w *textLine) space() {
	for w.i < len(w.b) && (w.b[w.i] == ' ' || w.b[w.i] == '\t') {
		w.i++
	}
}

// rule returns the character that the whole line consists of, if it is - or =.
func (w *textLine) rule() byte {
	t := bytes.Trim(w.b, " \t\r")
	if len(t) > 0 && (t[0] == '-' || t[0] == '=') && len(bytes.Trim(t, string(t[0]))) == 0 {
		return t[0]
	}
	return 0
}

// take takes c behind space.
func (w *textLine) take(c byte) error {
	if w.space(); w.i >= len(w.b) || w.b[w.i] != c {
		return w.want(fmt.Sprintf("%q", c))
	}
	w.i++
	return nil
}

// number reads a number, from least.
func (w *textLine) number(what string, least int64) (int64, []byte, error) {
	w.space()
	n, end := plainInt(w.b, w.i)
	if end == w.i || n < least || end < len(w.b) && w.b[end]-'0' <= 9 {
		return 0, nil, w.want(fmt.Sprintf("%s, a number from %d to 10^18", what, least))
	}
	text := w.b[w.i:end]
	w.i = end
	return n, text, nil
}

// verb reads r or w.
func (w *textLine) verb() (F, error) {
	w.space()
	if w.i < len(w.b) && (w.b[w.i] == 'r' || w.b[w.i] == 'w') {
		w.i++
		return stepF(w.b[w.i-1:w.i], nil), nil
	}
	return "", w.want("r or w")
}

// ended fails if there is more on the line.
func (w *textLine) ended() error {
	if w.space(); w.i < len(w.b) {
		return w.want("the end of the line")
	}
	return nil
}

// access reads "w key value".
func (w *textLine) access() (a access, err error) {
	if a.f, err = w.verb(); err != nil {
		return a, err
	}
	if w.i < len(w.b) && w.b[w.i] != ' ' && w.b[w.i] != '\t' {
		return a, w.want("a space")
	}
	if _, a.key, err = w.number("a key", 0); err != nil {
		return a, err
	}
	n, _, err := w.number("a value", 0)
	if a.value = Int(n); err != nil {
		return a, err
	}
	return a, w.ended()
}

// plume reads "w(key,value,session,transaction)".
func (w *textLine) plume() (a access, err error) {
	if a.f, err = w.verb(); err != nil {
		return a, err
	}
	var ns [4]int64
	for i, what := range []string{"a key", "a value", "a session", "a transaction"} {
		sep, least := byte(','), int64(0)
		if i == 0 {
			sep = '('
		}
		if i == 3 {
			least = -1
		}
		if err = w.take(sep); err != nil {
			return a, err
		}
		var text []byte
		if ns[i], text, err = w.number(what, least); err != nil {
			return a, err
		}
		if i == 0 {
			a.key = text
		}
	}
	a.value, a.session, a.txn = Int(ns[1]), Process(ns[2]), ns[3]
	if err = w.take(')'); err != nil {
		return a, err
	}
	return a, w.ended()
}
