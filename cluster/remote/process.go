package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// A node's process is started by a small shell script that stays beside it as long as it
// lives, holds a lock meanwhile, and writes down how it ended. Nobody starts it again.
// The lock makes waiting for the end free of polling: whoever gets it knows that the
// node is gone.

const (
	// statePolls is how often a script looks whether a signal has had its effect, every
	// 20 ms.
	statePolls = 100
	// watchAgain is the wait before a lost watch of a process is taken up again.
	watchAgain = time.Second
	tailLines  = 20
)

// enterFile says, in the node's directory, where processes enter their control group.
const enterFile = "group"

// entering is the part of superviseScript that enters the group.
const entering = `echo "$$" >"$(cat ` + enterFile + `)" 2>>` + logFile + ` || exit 1
`

// superviseScript is the file that runs the node's process, in its control group if there
// is one.
func superviseScript(dir string, argv []string, grouped bool) string {
	enter := ""
	if grouped {
		enter = entering
	}
	return fmt.Sprintf(`cd %s || exit 1
%sexec 9>life
flock -w 5 9 || exit 1
setsid %s </dev/null >>%s 2>&1 9>&- &
p=$!
echo "$p" >pid.new && mv pid.new pid
wait "$p"
s=$?
kill -9 -- "-$p" 2>/dev/null
echo "$p $s" >ended.new && mv ended.new ended
`, Quote(dir), enter, CommandLine(argv), logFile)
}

// startScript starts the node unless it runs, and waits until it is ready. It prints one
// of "running PID", "ready PID", "ended PID STATUS", "late", and after the last two the
// end of the log.
func startScript(dir, header string, limit time.Duration) string {
	return preamble(dir) + fmt.Sprintf(`if alive; then echo "running $p"; exit 0; fi
flock -w 5 "$d/life" true
mkdir -p "$d/%s"
rm -f "$d/pid" "$d/ended" "$d/ready.json"
echo %s >>"$d/%s"
setsid sh "$d/supervise" </dev/null >/dev/null 2>&1 &
i=0
until [ -e "$d/ready.json" ] && [ -e "$d/pid" ]; do
  if [ -e "$d/ended" ]; then echo "ended $(cat "$d/ended")"; break; fi
  i=$((i+1))
  if [ "$i" -gt %d ]; then echo late; break; fi
  sleep 0.02
done
if [ -e "$d/ready.json" ]; then echo "ready $(cat "$d/pid")"; exit 0; fi
tail -n %d "$d/%[3]s"
`, dataDir, Quote(header), logFile, limit.Milliseconds()/20, tailLines)
}

// stateScript prints the node's pid, or 0, and the states of its threads: "12 SSS".
func stateScript(dir string) string {
	return preamble(dir) + `if alive; then
  echo "$p $(sed 's/.*) \(.\).*/\1/' /proc/$p/task/*/stat 2>/dev/null | tr -d '\n')"
else
  echo 0
fi
`
}

// killScript ends the node with a signal, waits until it is gone, and until that is
// written down.
func killScript(dir string) string {
	return preamble(dir) + fmt.Sprintf(`if alive; then
  kill -9 -- "-$p" 2>/dev/null || kill -9 "$p" 2>/dev/null || :
fi
i=0
while alive; do
  i=$((i+1))
  if [ "$i" -gt %d ]; then echo "process $p outlives SIGKILL" >&2; exit 1; fi
  sleep 0.02
done
if [ -d "$d" ]; then flock -w 5 "$d/life" true; fi
`, statePolls)
}

// notRunning is the exit status of pauseScript for a node that is down.
const notRunning = 3

// pauseScript stops the node or lets it go on, and waits until all of its threads are
// seen to be so.
func pauseScript(dir string, stop bool) string {
	signal, down, so := "CONT", "exit 0", `[ "$s" != "" ]`
	if stop {
		signal, down, so = "STOP", fmt.Sprintf("exit %d", notRunning), `[ "$s" = "" ]`
	}
	return preamble(dir) + fmt.Sprintf(`alive || %s
kill -%s -- "-$p" 2>/dev/null || kill -%[2]s "$p"
i=0
while alive; do
  s=$(sed 's/.*) \(.\).*/\1/' /proc/$p/task/*/stat 2>/dev/null | tr -d 'TZX\n')
  if %[3]s; then exit 0; fi
  i=$((i+1))
  if [ "$i" -gt %[4]d ]; then echo "process $p does not follow SIG%[2]s" >&2; exit 1; fi
  sleep 0.02
done
%[1]s
`, down, signal, so, statePolls)
}

// stopScript ends the node gently, and by force after the grace.
func stopScript(dir string, grace time.Duration) string {
	return preamble(dir) + fmt.Sprintf(`if alive; then
  kill -CONT -- "-$p" 2>/dev/null || :
  kill -TERM "$p" 2>/dev/null || :
  i=0
  while alive && [ "$i" -lt %d ]; do i=$((i+1)); sleep 0.02; done
fi
`, grace.Milliseconds()/20) + strings.TrimPrefix(killScript(dir), preamble(dir))
}

// signals is the beginning of a script that signals those processes of the node that are
// not in the group of its leader; they are in o. Without such it is empty.
func (c *Cluster) signals(m *member, signal string) string {
	if c.cfg.Others == nil {
		return ""
	}
	return preamble(m.dir) + fmt.Sprintf(`o=
if alive; then o=$(sh "$d/%s" "$p"); fi
for q in $o; do kill -%s "$q" 2>/dev/null || :; done
`, othersFile, signal)
}

// watchScript waits for the node's end and prints how it was.
func watchScript(dir string) string {
	return fmt.Sprintf("exec flock -s %s cat %s\n", Quote(dir+"/life"), Quote(dir+"/ended"))
}

func (m *member) running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pid
}

// Start implements nemesis.Processes: it starts the node on its old data and returns
// when it is ready. A node that runs is left alone, also if it is paused.
func (c *Cluster) Start(ctx context.Context, n nemesis.Node) error {
	return c.do("start", n, func(m *member) error { return c.start(ctx, m) })
}

func (c *Cluster) start(ctx context.Context, m *member) error {
	if err := take(ctx, m.lock); err != nil {
		return err
	}
	defer func() { <-m.lock }()
	if c.living.Err() != nil {
		return errors.New("the cluster is closed")
	}
	argv := c.cfg.Command(m.spec)
	if !carriesDir(argv, m.spec.DataDir) {
		return fmt.Errorf("the command %q does not name the data directory %s", argv, m.spec.DataDir)
	}
	supervisor := File{
		Path: m.dir + "/supervise", Mode: 0o644,
		Content: []byte(superviseScript(m.dir, m.underFaketime(argv), c.cfg.MemoryGroups)),
	}
	if err := c.cfg.Shell.Upload(ctx, m.name, supervisor); err != nil {
		return err
	}
	if err := c.cfg.Ledger.ProcessStarting(m.name, m.spec.DataDir); err != nil {
		return err
	}
	m.starts++
	header := cluster.StartHeader(m.starts, m.name, time.Now(), argv)
	if c.cfg.Others != nil {
		others := File{Path: m.dir + "/" + othersFile, Content: []byte(c.cfg.Others(m.spec)), Mode: 0o644}
		if err := c.cfg.Shell.Upload(ctx, m.name, others); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.StartTimeout+15*time.Second)
	defer cancel()
	out, err := c.script(limited, m, startScript(m.dir, header, c.cfg.StartTimeout))
	if err != nil {
		return err
	}
	return c.started(ctx, m, out)
}

// carriesDir reports whether an argument is, or ends with, the data directory.
func carriesDir(argv []string, dir string) bool {
	for _, a := range argv {
		if strings.HasSuffix(a, dir) {
			return true
		}
	}
	return false
}

// started takes in what startScript has printed.
func (c *Cluster) started(ctx context.Context, m *member, out string) error {
	first, rest, _ := strings.Cut(out, "\n")
	words := strings.Fields(first)
	number := func(i int) int {
		if i >= len(words) {
			return 0
		}
		n, _ := strconv.Atoi(words[i]) // 0 is as good as garbage
		return n
	}
	switch {
	case len(words) > 0 && (words[0] == "ready" || words[0] == "running") && number(1) > 1:
		return c.admit(m, number(1))
	case len(words) > 0 && words[0] == "ended":
		never := nemesis.ProcessRecord{Node: m.name, Marker: m.spec.DataDir}
		e := exitOf(m.name, number(1), number(2), rest)
		if c.cfg.OnExit != nil && c.living.Err() == nil {
			c.cfg.OnExit(e)
		}
		return errors.Join(fmt.Errorf("exited before it was ready: %s: %s (log: %s)", e.Status,
			e.LastWords, m.dir+"/"+logFile), c.cfg.Ledger.ProcessEnded(never))
	case len(words) > 0 && words[0] == "late":
		_, err := c.script(context.WithoutCancel(ctx), m, c.signals(m, "KILL")+killScript(m.dir))
		if err == nil {
			err = c.cfg.Ledger.ProcessEnded(
				nemesis.ProcessRecord{Node: m.name, Marker: m.spec.DataDir})
		}
		return errors.Join(fmt.Errorf("not ready within %v: %s", c.cfg.StartTimeout,
			cluster.LastWords(rest)), err)
	default:
		return fmt.Errorf("the start script said %q", shorten(out))
	}
}

// admit notes that the node runs and watches over it.
func (c *Cluster) admit(m *member, pid int) error {
	if err := c.cfg.Ledger.ProcessStarted(m.record(pid)); err != nil {
		return err
	}
	m.mu.Lock()
	known := m.pid == pid
	m.pid = pid
	m.mu.Unlock()
	c.cfg.Logger.Info("node is ready", "node", m.name, "pid", pid)
	if !known {
		c.watchers.Add(1)
		crash.Go(func() { c.watch(m, pid) })
	}
	return nil
}

func (m *member) record(pid int) nemesis.ProcessRecord {
	return nemesis.ProcessRecord{Node: m.name, PID: pid, Marker: m.spec.DataDir}
}

// watch waits for the end of a process. A connection that breaks meanwhile is taken up
// again: waiting changes nothing.
func (c *Cluster) watch(m *member, pid int) {
	defer c.watchers.Done()
	for c.living.Err() == nil && m.running() == pid {
		out, err := sh(c.living, c.cfg.Shell, m.name, watchScript(m.dir))
		if err != nil {
			pause(c.living, watchAgain)
			continue
		}
		words := strings.Fields(out)
		status := 0
		if len(words) == 2 && words[0] == strconv.Itoa(pid) {
			status, _ = strconv.Atoi(words[1])
		}
		c.gone(m, pid, status, true)
	}
}

// gone notes the end of a process, once. Seen says that nobody has told it to end, as
// far as whoever calls knows.
func (c *Cluster) gone(m *member, pid, status int, seen bool) {
	m.mu.Lock()
	mine, told := m.pid == pid, m.told == pid
	if mine {
		m.pid = 0
	}
	m.mu.Unlock()
	if !mine {
		return
	}
	if err := c.cfg.Ledger.ProcessEnded(m.record(pid)); err != nil {
		c.cfg.Logger.Error("record the end of a node", "node", m.name, "pid", pid, "err", err)
	}
	if told || !seen || c.living.Err() != nil {
		return
	}
	log, err := c.script(c.living, m, fmt.Sprintf("tail -n %d %s\n", tailLines,
		Quote(m.dir+"/"+logFile)))
	if err != nil {
		log = err.Error()
	}
	e := exitOf(m.name, pid, status, log)
	c.cfg.Logger.Error("node exited by itself", "node", e.Node, "pid", e.PID, "status", e.Status)
	if c.cfg.OnExit != nil {
		c.cfg.OnExit(e)
	}
}

// exitOf describes an end; status is a shell's, 128+N for signal N.
func exitOf(n nemesis.Node, pid, status int, log string) cluster.Exit {
	e := cluster.Exit{Node: n, PID: pid, Status: fmt.Sprintf("exit status %d", status), Log: log}
	if status > 128 {
		e.Status = fmt.Sprintf("signal %d", status-128)
	}
	e.LastWords = cluster.LastWords(log)
	return e
}

// tell says that the node's process is about to be told to end, and returns it.
func (m *member) tell() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = m.pid
	return m.pid
}

// Kill implements nemesis.Processes with SIGKILL to the node's process group. It
// returns when the process is gone.
func (c *Cluster) Kill(ctx context.Context, n nemesis.Node) error {
	return c.do("kill", n, func(m *member) error {
		return c.end(ctx, m, c.signals(m, "KILL")+killScript(m.dir))
	})
}

// stop ends the node gently.
func (c *Cluster) stop(ctx context.Context, m *member) error {
	script := c.signals(m, "CONT") + stopScript(m.dir, c.cfg.Grace)
	if c.cfg.Others != nil {
		script += "for q in $o; do kill -KILL \"$q\" 2>/dev/null || :; done\n"
	}
	if err := c.end(ctx, m, script); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// end ends the node by a script that returns when it is gone.
func (c *Cluster) end(ctx context.Context, m *member, script string) error {
	if err := take(ctx, m.lock); err != nil {
		return err
	}
	defer func() { <-m.lock }()
	pid := m.tell()
	if _, err := c.script(ctx, m, script); err != nil {
		return err
	}
	if pid == 0 {
		// One whose start came to nobody's knowledge is gone, too.
		return c.cfg.Ledger.ProcessEnded(
			nemesis.ProcessRecord{Node: m.name, Marker: m.spec.DataDir})
	}
	c.gone(m, pid, 0, false)
	return nil
}

// Pause implements nemesis.Processes with SIGSTOP. It returns when all threads have
// been seen stopped; cluster.ErrNotRunning if the node is down.
func (c *Cluster) Pause(ctx context.Context, n nemesis.Node) error {
	return c.do("pause", n, func(m *member) error { return c.freeze(ctx, m, true) })
}

// Resume implements nemesis.Processes with SIGCONT. It returns when the node has been
// seen not to be stopped. A node that is down is left alone.
func (c *Cluster) Resume(ctx context.Context, n nemesis.Node) error {
	return c.do("resume", n, func(m *member) error { return c.freeze(ctx, m, false) })
}

func (c *Cluster) freeze(ctx context.Context, m *member, stop bool) error {
	if err := take(ctx, m.lock); err != nil {
		return err
	}
	defer func() { <-m.lock }()
	signal := "CONT"
	if stop {
		signal = "STOP"
	}
	_, err := c.script(ctx, m, c.signals(m, signal)+pauseScript(m.dir, stop))
	var exit *ExitError
	if errors.As(err, &exit) && exit.Status == notRunning {
		return cluster.ErrNotRunning
	}
	return err
}

// State implements nemesis.Processes by looking at the process, not at what was last
// done to it.
func (c *Cluster) State(ctx context.Context, n nemesis.Node) (nemesis.ProcessState, error) {
	var state nemesis.ProcessState
	err := c.do("state of", n, func(m *member) error {
		out, err := c.script(ctx, m, stateScript(m.dir))
		if err != nil {
			return err
		}
		state, err = parseState(out)
		return err
	})
	return state, err
}

// parseState reads what stateScript prints. A thread that has just ended does not run
// either.
func parseState(out string) (nemesis.ProcessState, error) {
	words := strings.Fields(out)
	if len(words) == 0 {
		return nemesis.ProcessState{}, errors.New("the node said nothing of its process")
	}
	pid, err := strconv.Atoi(words[0])
	if err != nil {
		return nemesis.ProcessState{}, fmt.Errorf("state %q: %w", shorten(out), err)
	}
	if pid == 0 || len(words) < 2 {
		return nemesis.ProcessState{}, nil // it ended while it was looked at
	}
	return nemesis.ProcessState{PID: pid, Stopped: strings.Trim(words[1], "TZX") == ""}, nil
}
