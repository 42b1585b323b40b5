package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Programs that ask libc for the time, and are not ours, are started under libfaketime,
// which reads a file before each answer. It shows them another time of day; what they
// measure durations by stays true, because a wait on a clock that jumps may never end. A
// rate it counts from the start of each process, not from the moment at which it is set,
// so that is refused.
//
// The clock is measured by a program that is started with the process's own environment,
// after a look whether the library is in the process, too.

// faketimeFile is what the library reads, in the node's directory. Without the file time
// is true.
const faketimeFile = "faketime"

var (
	// errNoFaketime says that the library is not on a node.
	errNoFaketime = errors.New("libfaketime is not installed (package faketime)")
	// errOnlyWall says what libfaketime cannot do.
	errOnlyWall = errors.New(
		"under libfaketime only the time of day can be bent, and only by an offset or a freeze")
)

// findFaketime prints where the library is, that for programs with threads, which does for
// all.
const findFaketime = `for f in /usr/lib/*/faketime/libfaketimeMT.so.1 \
  /usr/lib/faketime/libfaketimeMT.so.1 /usr/lib64/faketime/libfaketimeMT.so.1 \
  /usr/local/lib/faketime/libfaketimeMT.so.1; do
  if [ -e "$f" ]; then echo "$f"; exit 0; fi
done
`

// prepareFaketime finds the library.
func (c *Cluster) prepareFaketime(ctx context.Context, m *member) error {
	if !c.cfg.Faketime {
		return nil
	}
	out, err := c.script(ctx, m, findFaketime)
	if err != nil {
		return err
	}
	if m.faketime = strings.TrimSpace(out); m.faketime == "" {
		return errNoFaketime
	}
	return nil
}

// underFaketime puts what libfaketime needs before a command.
func (m *member) underFaketime(argv []string) []string {
	if m.faketime == "" {
		return argv
	}
	return append([]string{
		"env", "LD_PRELOAD=" + m.faketime, "FAKETIME_TIMESTAMP_FILE=" + m.dir + "/" + faketimeFile,
		"FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, argv...)
}

// faketimeScript bends the time of day of a node's programs.
func faketimeScript(dir string, s nemesis.ClockSetting) (string, error) {
	path := Quote(dir + "/" + faketimeFile)
	put := func(content string) string {
		return fmt.Sprintf("%s >%s.new && mv %[2]s.new %[2]s\n", content, path)
	}
	switch {
	case s.Monotonic != (nemesis.Bend{}) || s.Wall.Rate != 0 && s.Wall.Rate != 1:
		return "", errOnlyWall
	case s.Wall.Freeze:
		at := "date '+%Y-%m-%d %H:%M:%S'"
		if d := s.Wall.Offset.Truncate(time.Second); d != 0 {
			at = fmt.Sprintf("date -d @$(($(date +%%s) + %d)) '+%%Y-%%m-%%d %%H:%%M:%%S'",
				int64(d.Seconds()))
		}
		return put(at), nil
	case s.Wall.Offset != 0:
		return put(fmt.Sprintf("echo %+.9f", s.Wall.Offset.Seconds())), nil
	default:
		return "rm -f " + path + "\n", nil
	}
}

// readClockScript prints the start of a node's process in clock ticks after the boot, the
// ticks a second, the time since the boot, and three times of day: a true one, that of a
// program in the process's environment, and a true one again.
func readClockScript(dir string) string {
	return preamble(dir) + `alive || { echo "it does not run" >&2; exit 1; }
grep -q libfaketime "/proc/$p/maps" || { echo "libfaketime is not in process $p" >&2; exit 1; }
e=$(tr '\0' '\n' <"/proc/$p/environ" | grep -E '^(LD_PRELOAD|FAKETIME[A-Z_]*|TZ)=')
s=$(sed 's/.*) //' "/proc/$p/stat" | cut -d ' ' -f 20)
u=$(cut -d ' ' -f 1 /proc/uptime)
a=$(date +%s%N)
b=$(env -i $e date +%s%N)
c=$(date +%s%N)
echo "$s $(getconf CLK_TCK) $u $a $b $c"
`
}

// ReadClock measures the time of day of a node's program that runs under libfaketime, as
// nemesis.Clocks wants it: on the node, past all faults of the network.
func (c *Cluster) ReadClock(ctx context.Context, n nemesis.Node) (nemesis.ClockReading, error) {
	var r nemesis.ClockReading
	err := c.do("read the clock of", n, func(m *member) error {
		if m.faketime == "" {
			return errors.New("its program does not run under libfaketime")
		}
		out, err := c.script(ctx, m, readClockScript(m.dir))
		if err != nil {
			return err
		}
		r, err = parseClock(out)
		return err
	})
	return r, err
}

// parseClock reads what readClockScript prints.
func parseClock(out string) (nemesis.ClockReading, error) {
	words := strings.Fields(out)
	if len(words) != 6 {
		return nemesis.ClockReading{}, fmt.Errorf("the node said %q of its clock", shorten(out))
	}
	var n [6]float64
	var ns [6]int64
	var errs []error
	for i, w := range words {
		if i == 2 {
			f, err := strconv.ParseFloat(w, 64)
			n[i], errs = f, append(errs, err)
			continue
		}
		v, err := strconv.ParseInt(w, 10, 64)
		ns[i], errs = v, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil || ns[1] <= 0 {
		return nemesis.ClockReading{}, fmt.Errorf("the node said %q of its clock: %w",
			shorten(out), err)
	}
	running := time.Duration((n[2] - float64(ns[0])/float64(ns[1])) * float64(time.Second))
	return nemesis.ClockReading{
		Start: ns[0], WallError: time.Duration(ns[4] - (ns[3]+ns[5])/2),
		Monotonic: running, Running: running,
	}, nil
}
