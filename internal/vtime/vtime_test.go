package vtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// run runs f in a world and returns what it wrote, with the times of writing.
func run(t *testing.T, f func(ctx context.Context, say func(string))) string {
	t.Helper()
	var b strings.Builder
	err := Run(t.Context(), func(ctx context.Context) {
		w := From(ctx)
		f(ctx, func(s string) { fmt.Fprintf(&b, "%v %s; ", w.Now(), s) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

type scene struct {
	name string
	f    func(ctx context.Context, say func(string))
	want string
}

func TestVirtualTime(t *testing.T) {
	for _, tc := range append(scenesOfTime(), scenesOfOthers()...) {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, tc.f); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func scenesOfTime() []scene {
	return []scene{
		{"sleeps end in the order of their ends", func(ctx context.Context, say func(string)) {
			g := NewGroup(ctx)
			for _, d := range []time.Duration{30 * ms, 10 * ms, 20 * ms, 10 * ms} {
				g.Add(func() { Sleep(ctx, d); say(d.String()) })
			}
			g.Wait()
			say("all")
		}, "10ms 10ms; 10ms 10ms; 20ms 20ms; 30ms 30ms; 30ms all"},
		{"a timeout cuts a sleep short, and tells its cause",
			func(ctx context.Context, say func(string)) {
				ctx, cancel := WithTimeoutCause(ctx, 5*ms, errors.New("too long"))
				defer cancel()
				say(fmt.Sprint(Sleep(ctx, time.Hour), ctx.Err(), Cause(ctx)))
			}, "5ms false context deadline exceeded too long"},
		{"a cancellation reaches the contexts below, not those without cancel",
			func(ctx context.Context, say func(string)) {
				above, cancel := WithCancelCause(ctx)
				below, done := WithTimeout(above, time.Hour)
				defer done()
				std, stop := context.WithCancel(below)
				defer stop()
				apart := WithoutCancel(below)
				defer OnCancel(below, func() { say("canceled") })()
				Later(ctx, 7*ms, func() { cancel(errors.New("enough")) })
				say(fmt.Sprint(Sleep(below, time.Hour), Cause(below), std.Err(), apart.Err()))
				say(fmt.Sprint(Sleep(apart, 3*ms), From(apart) == From(ctx)))
			}, "7ms canceled; 7ms false enough context canceled <nil>; 10ms true true"},
	}
}

func scenesOfOthers() []scene {
	return []scene{
		{"a mutex is handed on in the order of asking", func(ctx context.Context, say func(string)) {
			var m Mutex
			_ = Together(ctx, 3, func(i int) error {
				defer m.Lock(ctx)()
				Sleep(ctx, 2*ms)
				say(fmt.Sprint(i))
				return nil
			})
		}, "2ms 0; 4ms 1; 6ms 2"},
		{"a gate lets one through for each opening", func(ctx context.Context, say func(string)) {
			g := NewGate(ctx)
			g.Open()
			g.Wait()
			say("first")
			Later(ctx, ms, g.Open)
			g.Wait()
			say("second")
		}, "0s first; 1ms second"},
		{"a timer that is set anew or stopped does not call for the old time",
			func(ctx context.Context, say func(string)) {
				a := Later(ctx, ms, func() { say("a") })
				a.Reset(3 * ms)
				b := Later(ctx, 2*ms, func() { say("b") })
				b.Stop()
				Sleep(ctx, 5*ms)
			}, "3ms a"},
		{"a task is waited for as long as the context lives",
			func(ctx context.Context, say func(string)) {
				task := Start(ctx, func() error { Sleep(ctx, 9*ms); return errors.New("done") })
				limited, cancel := WithTimeout(ctx, 4*ms)
				defer cancel()
				say(fmt.Sprint(task.Wait(limited)))
				say(fmt.Sprint(task.Wait(ctx), task.Wait(ctx)))
			}, "4ms context deadline exceeded; 9ms done done"},
		{"a group is waited for a while", func(ctx context.Context, say func(string)) {
			g := NewGroup(ctx)
			g.Begin()
			say(fmt.Sprint(g.WaitFor(ctx, 2*ms)))
			Later(ctx, ms, g.End)
			say(fmt.Sprint(g.WaitFor(ctx, 2*ms)))
		}, "2ms false; 3ms true"},
		{"once is once, and who comes later waits", func(ctx context.Context, say func(string)) {
			var o Once
			_ = Together(ctx, 2, func(i int) error {
				o.Do(ctx, func() { Sleep(ctx, 4*ms); say("done") })
				say(fmt.Sprint(i))
				return nil
			})
		}, "4ms done; 4ms 0; 4ms 1"},
	}
}

// TestRealTime does the same things where the clock is that of the machine.
func TestRealTime(t *testing.T) {
	ctx := t.Context()
	if From(ctx) != nil {
		t.Fatal("an ordinary context belongs to no virtual world")
	}
	limited, cancel := WithTimeoutCause(ctx, ms, errors.New("too long"))
	defer cancel()
	if Sleep(limited, time.Hour) || Cause(limited).Error() != "too long" {
		t.Error("a sleep is not cut short")
	}
	if !Sleep(ctx, time.Microsecond) {
		t.Error("a sleep does not end")
	}
	var m Mutex
	sum := 0
	err := Together(ctx, 10, func(i int) error {
		defer m.Lock(ctx)()
		sum += i
		if i == 3 {
			return errors.New("three")
		}
		return nil
	})
	if sum != 45 || err == nil || err.Error() != "three" {
		t.Errorf("sum %d, error %v", sum, err)
	}
	g := NewGate(ctx)
	Later(ctx, time.Microsecond, g.Open)
	g.Wait()
	if err := Start(ctx, func() error { return errors.New("done") }).Wait(ctx); err.Error() != "done" {
		t.Error(err)
	}
}

// TestTheWorldEnds: what was started ends by the end of its context; what does not is
// told.
func TestTheWorldEnds(t *testing.T) {
	ended := false
	err := Run(t.Context(), func(ctx context.Context) {
		Spawn(ctx, func() { Sleep(ctx, time.Hour); ended = true })
		Sleep(ctx, ms)
	})
	if err != nil || !ended {
		t.Errorf("ended %v, error %v", ended, err)
	}
	err = Run(t.Context(), func(ctx context.Context) {
		Spawn(ctx, func() { NewGate(ctx).Wait() })
	})
	if !errors.Is(err, ErrStuck) {
		t.Errorf("error %v: want that it is stuck", err)
	}
}

// TestInterrupt: the end of the real context is the end of the virtual one.
func TestInterrupt(t *testing.T) {
	real, interrupt := context.WithCancelCause(t.Context())
	slept := 0
	err := Run(real, func(ctx context.Context) {
		for Sleep(ctx, ms) {
			if slept++; slept == 1000 {
				interrupt(errors.New("enough"))
			}
		}
		if Cause(ctx).Error() != "enough" {
			t.Errorf("cause %v", Cause(ctx))
		}
	})
	if err != nil || slept < 1000 || slept > 1000+2*lookEvery {
		t.Errorf("%d sleeps, error %v", slept, err)
	}
}

func BenchmarkSleep(b *testing.B) {
	err := Run(b.Context(), func(ctx context.Context) {
		_ = Together(ctx, 10, func(int) error {
			for range b.N / 10 {
				Sleep(ctx, ms)
			}
			return nil
		})
	})
	if err != nil {
		b.Fatal(err)
	}
}
