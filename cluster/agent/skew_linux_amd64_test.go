package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// teller is a program that tells the time when it is asked.
type teller struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// pythonTeller asks libc in three ways, in a thread that does nothing else, too, and in a
// child that it forks when it is told to.
const pythonTeller = `
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
libc.time.restype = ctypes.c_long
def spin():
    while True:
        time.time(); time.sleep(0.00002)
threading.Thread(target=spin, daemon=True).start()
class timeval(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("us", ctypes.c_long)]
for line in sys.stdin:
    if line == "fork\n" and os.fork() > 0:
        os.wait()
        os._exit(0)
    a, v = time.time_ns(), timeval()
    libc.gettimeofday(ctypes.byref(v), None)
    s = libc.time(None)
    us = v.s*10**6 + v.us
    tick = 20000 # time() is as of the last one, microseconds ago
    if not 0 <= us - a//1000 < 10**6 or not (us-tick)//10**6 <= s <= v.s + 1:
        print("inconsistent", a, v.s, v.us, s, flush=True)
    print(a, time.monotonic_ns(), flush=True)
`

func startTeller(t *testing.T, argv ...string) *teller {
	t.Helper()
	x := &teller{t: t, cmd: exec.Command(argv[0], argv[1:]...)}
	var err error
	if x.in, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	x.cmd.Stderr = os.Stderr
	x.out = bufio.NewScanner(out)
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.in.Close(); err != nil {
			t.Error(err)
		}
		if err := x.cmd.Wait(); err != nil {
			t.Errorf("%v: %v", argv[0], err)
		}
	})
	x.ask() // so that it is up
	return x
}

// ask returns how far the time of day is ahead, and the monotonic time.
func (x *teller) ask(words ...string) (ahead, monotonic time.Duration) {
	x.t.Helper()
	wall, mono := x.look(words...)
	return time.Duration(wall - time.Now().UnixNano()), time.Duration(mono)
}

// look returns what the program says, in nanoseconds.
func (x *teller) look(words ...string) (wall, mono int64) {
	x.t.Helper()
	if _, err := fmt.Fprintln(x.in, strings.Join(words, " ")); err != nil {
		x.t.Fatal(err)
	}
	if !x.out.Scan() {
		x.t.Fatal("the program tells no time")
	}
	if _, err := fmt.Sscan(x.out.Text(), &wall, &mono); err != nil {
		x.t.Fatalf("%q: %v", x.out.Text(), err)
	}
	return wall, mono
}

func tellers(t *testing.T, marker string) map[string][]string {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatal("python3 is missing")
		}
		t.Log("python3 is missing: only a Go program is asked")
	}
	all := map[string][]string{"Go": {os.Args[0], tellWord, marker}}
	if err == nil {
		all["libc"] = []string{python, "-c", pythonTeller, marker}
	}
	return all
}

// near fails unless a clock is as far ahead as it should be. The machine may be busy.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d > 50*time.Millisecond || d < -2*time.Second {
		t.Errorf("%s: the clock is %v ahead, want %v", what, got, want)
	}
}

// The time of day of a running program jumps, drifts, comes and goes, and is true again,
// whatever the program was written in; its durations stay true.
func TestSkew(t *testing.T) {
	for name, argv := range tellers(t, filepath.Join(t.TempDir(), "data")) {
		t.Run(name, func(t *testing.T) {
			marker := argv[len(argv)-1]
			x := startTeller(t, argv...)
			pid := x.cmd.Process.Pid
			before := vdsoOf(t, pid)
			s := &scene{t: t, record: filepath.Join(t.TempDir(), "record")}
			set := func(set SkewSetting) SkewStatus {
				t.Helper()
				s.inflict(func() injury {
					return &skew{Marker: marker, SkewSetting: set, Name: s.record, Proc: "/proc"}
				})
				status, err := statusOf(s.record)
				if err != nil {
					t.Fatal(err)
				}
				return *status.Skew
			}
			begin := time.Now()
			_, mono := x.ask()
			for _, offset := range []time.Duration{time.Hour, -36 * time.Hour, 1500 * time.Millisecond} {
				status := set(SkewSetting{Offset: offset})
				ahead, _ := x.ask()
				near(t, "asked", ahead, offset)
				near(t, "measured", status.Ahead, offset)
				if len(status.Bent) != 1 || status.Bent[0].PID != pid || len(status.True) > 0 {
					t.Errorf("%+v", status)
				}
			}
			testDrift(t, x, set)
			strobe := SkewSetting{Offset: 10 * time.Second, Period: 20 * time.Millisecond}
			if status := set(strobe); status.Jumps < 3 {
				t.Errorf("%d jumps", status.Jumps)
			}
			if set(SkewSetting{}); !bytes.Equal(vdsoOf(t, pid), before) {
				t.Error("a true clock is not what it was before")
			}
			set(SkewSetting{Offset: time.Hour})
			if u := s.undo(); u.Left != "" {
				t.Errorf("%+v", u)
			}
			if !bytes.Equal(vdsoOf(t, pid), before) {
				t.Error("the process's code is not what it was before")
			}
			ahead, end := x.ask()
			near(t, "in the end", ahead, 0)
			if d := end - mono - time.Since(begin); d.Abs() > time.Second {
				t.Errorf("durations are wrong by %v", d)
			}
		})
	}
}

func testDrift(t *testing.T, x *teller, set func(SkewSetting) SkewStatus) {
	t.Helper()
	for _, gain := range []float64{50, -0.9} {
		status := set(SkewSetting{Offset: -time.Minute, Gain: gain})
		wall, mono := x.look()
		<-time.After(300 * time.Millisecond)
		laterWall, laterMono := x.look()
		again := set(SkewSetting{Offset: -time.Minute, Gain: gain})
		measured := float64(again.Ahead-status.Ahead) / float64(again.Since-status.Since)
		asked := float64(laterWall-wall)/float64(laterMono-mono) - 1
		for what, got := range map[string]float64{"measured": measured, "asked": asked} {
			if got/gain < 0.9 || got/gain > 1.1 {
				t.Errorf("%s: gained %v in a second, want %v", what, got, gain)
			}
		}
	}
}

func vdsoOf(t *testing.T, pid int) []byte {
	t.Helper()
	v, err := procFS("/proc").readVDSO(pid)
	if err != nil {
		t.Fatal(err)
	}
	return v.image
}

// A child that a bent process forks has its clock, and is made true with it. A process that
// took its place has a true clock, and that can be seen.
func TestSkewOfChildren(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "data")
	argv := tellers(t, marker)["libc"]
	if argv == nil {
		t.Skip("needs python3")
	}
	x := startTeller(t, argv...)
	s := &scene{t: t, record: filepath.Join(t.TempDir(), "record")}
	bend := func() injury {
		return &skew{
			Marker: marker, SkewSetting: SkewSetting{Offset: time.Hour}, Name: s.record, Proc: "/proc",
		}
	}
	s.inflict(bend)
	ahead, _ := x.ask("fork")
	near(t, "the child", ahead, time.Hour)
	startTeller(t, argv...)
	status, err := statusOf(s.record)
	if err != nil || len(status.Skew.Bent) != 2 || len(status.Skew.True) != 1 {
		t.Errorf("%+v, %v", status.Skew, err)
	}
	s.inflict(bend)
	if status, err = statusOf(s.record); err != nil || len(status.Skew.Bent) != 3 {
		t.Errorf("%+v, %v", status.Skew, err)
	}
	if u := s.undo(); u.Left != "" {
		t.Errorf("%+v", u)
	}
	ahead, _ = x.ask()
	near(t, "in the end", ahead, 0)
}
