package agent

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

const (
	// skewRounds bounds how often processes are listed anew because some were born.
	skewRounds = 10
	// aloneTries is how often a process is stopped anew because a thread of it was in code
	// that is to be changed.
	aloneTries = 200
	// aloneWithin bounds these tries: on a busy machine one of them can take a second, in
	// which the process stands still.
	aloneWithin = 10 * time.Second
)

var errBentByAnother = errors.New("its clock is bent already, by another record")

func (x *skew) prepare(string) error {
	if err := x.validate(); err != nil {
		return err
	}
	targets, err := x.targets()
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no process carries %q", x.Marker)
	}
	for _, p := range targets {
		if err := x.sameTime(p.PID); err != nil {
			return err
		}
		v, err := x.Proc.readVDSO(p.PID)
		if err != nil {
			return err
		}
		b, _, err := v.bent()
		if err == nil && b != nil && b.Tag != x.tag() {
			err = errBentByAnother
		}
		if err == nil && b == nil {
			_, err = v.bendBy(bend{})
		}
		if err != nil {
			return fmt.Errorf("process %d: %w", p.PID, err)
		}
	}
	return nil
}

// sameTime fails for a process that measures durations from another start.
func (x *skew) sameTime(pid int) error {
	link := func(who string) string {
		text, _ := os.Readlink(filepath.Join(string(x.Proc), who, "ns/time"))
		return text
	}
	theirs, ours := link(strconv.Itoa(pid)), link("self")
	if theirs != "" && theirs != ours {
		return fmt.Errorf("process %d is in another time namespace", pid)
	}
	return nil
}

// targets returns the processes that are meant, parents first.
func (x *skew) targets() ([]Process, error) { return x.Proc.family(x.Marker, x.PIDs) }

// apply bends the processes until none is left that is not as it is to be. A zero setting
// makes them true.
func (x *skew) apply(string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if x.SkewSetting == (SkewSetting{}) {
		_, err := x.undo("")
		return err
	}
	if x.Set != x.SkewSetting {
		x.Set, x.Base = x.SkewSetting, clockNow(clockMonotonic)
	}
	for range skewRounds {
		targets, err := x.targets()
		if err != nil {
			return err
		}
		changed := false
		for _, p := range targets {
			did, err := x.bend(p)
			if errors.Is(err, errNoProcess) || err != nil && !x.alive(p) {
				continue
			}
			if err != nil {
				return fmt.Errorf("process %d: %w", p.PID, err)
			}
			changed = changed || did
		}
		if !changed {
			return nil
		}
	}
	return errors.New("ever new processes are born")
}

// alive reports whether a process is still the one that it was.
func (x *skew) alive(p Process) bool {
	now, err := x.Proc.look(p.PID)
	return err == nil && now.Started == p.Started && now.State != "Z"
}

// wanted is what is to stand before the code.
func (x *skew) wanted() bend {
	return bend{
		Tag: x.tag(), Base: x.Base, Offset: int64(x.Set.Offset),
		Gain: int64(math.Round(x.Set.Gain * (1 << 32))), Period: int64(x.Set.Period),
	}
}

// bend writes what bends into one process, or the data of it if that is what is missing.
func (x *skew) bend(p Process) (changed bool, err error) {
	v, err := x.Proc.readVDSO(p.PID)
	if err != nil {
		return false, err
	}
	now, at, err := v.bent()
	if err != nil {
		return false, err
	}
	want := x.wanted()
	var writes []write
	switch {
	case now == nil:
		writes, err = v.bendBy(want)
	case now.Tag != want.Tag:
		return false, errBentByAnother
	default:
		want.Magic, want.Page, want.Patches = now.Magic, now.Page, now.Patches
		if *now == want && v.whole() == nil {
			return false, nil
		}
		var head []byte
		head, err = want.bytes()
		writes = []write{{at, head}}
		for _, patch := range now.Patches {
			writes = append(writes, write{int(patch.At), patch.jump()})
		}
	}
	if err != nil {
		return false, err
	}
	x.Bent = append(x.Bent, skewed{p.PID, p.Started})
	err = x.Proc.alone(p, jumpSpans(v, writes), func(f *frozen) error {
		return f.writeAll(v.base, writes)
	})
	if err != nil {
		return false, err
	}
	if v, err = x.Proc.readVDSO(p.PID); err != nil {
		return false, err
	}
	return true, v.whole()
}

// jumpSpans are the places to which no thread may come back while jumps are written over
// them: the middle of what a jump replaces.
func jumpSpans(v *vdso, writes []write) []span {
	var spans []span
	for _, w := range writes {
		if len(w.bytes) == jumpSize {
			at := v.base + uint64(w.at)
			spans = append(spans, span{at + 1, at + jumpSize})
		}
	}
	return spans
}

// errBusy says that a thread never left the code that is to be changed.
var errBusy = errors.New("a thread stays in the code that tells the time")

// alone calls fn while all threads of a process stand still, none of them in the spans.
func (p procFS) alone(who Process, spans []span, fn func(*frozen) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	end := time.Now().Add(aloneWithin)
	for try := 0; try < aloneTries && time.Now().Before(end); try++ {
		f, err := p.freeze(who.PID)
		if err != nil {
			return err
		}
		now, err := p.look(who.PID)
		if err == nil && now.Started != who.Started {
			err = errNoProcess
		}
		inside := false
		if err == nil {
			inside, err = f.inside(spans)
		}
		if err == nil && !inside {
			err = fn(f)
		}
		if err := errors.Join(err, f.thaw()); err != nil || !inside {
			return err
		}
		<-time.After(time.Millisecond)
	}
	return errBusy
}

// undo makes the clocks of all processes true that have the tag, also of those that were
// forked since.
func (x *skew) undo(string) (string, error) {
	why := ""
	for range skewRounds { // children are born meanwhile
		all, err := x.Proc.all()
		if err != nil {
			return why, err
		}
		var errs []error
		found := false
		for _, p := range all {
			did, left, err := x.straighten(p)
			if err != nil && x.alive(p) {
				errs = append(errs, fmt.Errorf("process %d: %w", p.PID, err))
			}
			found = found || did
			if left != "" {
				why = left
			}
		}
		if err := errors.Join(errs...); err != nil || !found {
			return why, err
		}
	}
	return why, errors.New("ever new processes are born")
}

// straighten makes one process's clock true. First the old bytes come back, and the data
// behind them becomes that of a true clock; then the code is wiped out, unless a thread is
// to come back to it.
func (x *skew) straighten(p Process) (found bool, left string, err error) {
	v, err := x.Proc.readVDSO(p.PID)
	if err != nil {
		// None, or not ours to read: then it was never written either.
		return false, "", nil
	}
	now, at, err := v.bent()
	if err != nil || now == nil || now.Tag != x.tag() {
		return false, "", err
	}
	writes := append(now.straighten(), write{at, make([]byte, bendSize)})
	err = x.Proc.alone(p, jumpSpans(v, writes), func(f *frozen) error {
		return f.writeAll(v.base, writes)
	})
	if err != nil {
		return true, "", err
	}
	// Behind the data there is nothing but the code.
	behind := span{v.base + uint64(at), v.base + uint64(len(v.image))}
	err = x.Proc.alone(p, []span{behind}, func(f *frozen) error {
		return f.write(behind.from, make([]byte, behind.to-behind.from))
	})
	if errors.Is(err, errBusy) {
		return true, fmt.Sprintf("code in process %d to which nothing leads any more", p.PID), nil
	}
	return true, "", err
}

// status looks at the processes, and runs what is in the first of them.
func (x *skew) status() (SkewStatus, error) {
	s := SkewStatus{Bent: []Process{}, True: []Process{}}
	targets, err := x.targets()
	if err != nil {
		return s, err
	}
	var first *vdso
	for _, p := range targets {
		v, err := x.Proc.readVDSO(p.PID)
		if err != nil {
			continue // it has ended
		}
		b, _, err := v.bent()
		if err != nil {
			return s, err
		}
		if b == nil || b.Tag != x.tag() || v.whole() != nil {
			s.True = append(s.True, p)
			continue
		}
		s.Bent = append(s.Bent, p)
		if first == nil {
			first = v
		}
	}
	if first == nil {
		return s, nil
	}
	s.Since = time.Duration(clockNow(clockMonotonic) - x.Base)
	ahead, err := first.ask()
	if err != nil {
		return s, err
	}
	for i, a := range ahead {
		if a.Abs() > s.Ahead.Abs() {
			s.Ahead = a
		}
		if i > 0 && (a-ahead[i-1]).Abs() > x.Set.Offset.Abs()/2 {
			s.Jumps++
		}
	}
	return s, nil
}
