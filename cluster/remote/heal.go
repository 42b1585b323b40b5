package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/agent"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Remains is what Heal is told.
type Remains struct {
	Shell Shell
	// Hosts are those to be healed. Those without an address are not asked whether they
	// reach the others.
	Hosts []Host
	// Left is what the ledger has outstanding.
	Left nemesis.Outstanding
	// Dir is the store directory of the run, where the logs go.
	Dir    string
	Ledger Ledger
	// ClientPort is Config's: hosts knock at it to see whether they reach each other.
	ClientPort uint16
	// Agent, if not nil, returns the checker's own program for the hosts, which knocks
	// where bash cannot.
	Agent func() ([]byte, error)
}

// healLimit bounds what is done to one node.
const healLimit = 20 * time.Second

// Heal takes away what a run has left on its hosts, by the ledger alone, and says what
// it found. It resumes and ends the run's processes, fetches the nodes' logs, removes
// chains and directories, and in the end looks whether all nodes reach each other. What
// is done is told to the ledger; a node that does not answer keeps its part outstanding,
// while the others are healed, and the next Heal goes on with it. Healing twice does no
// harm.
func Heal(ctx context.Context, r Remains) ([]string, error) {
	var (
		mu    sync.Mutex
		lines []string
		wg    sync.WaitGroup
	)
	errs := make([]error, len(r.Hosts))
	for i, h := range r.Hosts {
		wg.Go(crash.Guard(func() {
			ctx, cancel := context.WithTimeout(ctx, healLimit)
			defer cancel()
			found, err := r.healNode(ctx, h.Node)
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, found...)
			if err != nil {
				errs[i] = fmt.Errorf("node %s: %w", h.Node, err)
			}
		}))
	}
	wg.Wait()
	slices.Sort(lines)
	if err := errors.Join(errs...); err != nil {
		return lines, err
	}
	r.Hosts = slices.DeleteFunc(slices.Clone(r.Hosts), func(h Host) bool {
		return len(h.Addrs) == 0
	})
	if len(r.Hosts) == 0 {
		return lines, nil
	}
	if err := r.reach(ctx); err != nil {
		return lines, err
	}
	return append(lines, fmt.Sprintf("all %d nodes reach each other", len(r.Hosts))), nil
}

// healNode does the outstanding part of one node.
func (r Remains) healNode(ctx context.Context, n nemesis.Node) ([]string, error) {
	var lines []string
	var dirs []string
	for _, res := range r.Left.Resources {
		if res.Node == n && res.Kind == resourceDirectory {
			dirs = append(dirs, res.Name)
		}
	}
	for _, p := range r.Left.Processes {
		if p.Node == n && !slices.Contains(dirs, path.Dir(p.Marker)) {
			dirs = append(dirs, path.Dir(p.Marker))
		}
	}
	for _, dir := range dirs {
		out, err := persist(ctx, r.Shell, n, thawScript(dir))
		if err != nil {
			return lines, fmt.Errorf("thaw its volume: %w", err)
		}
		lines = append(lines, describeMended(n, out)...)
		if out, err = persist(ctx, r.Shell, n, endScript(dir)); err != nil {
			return lines, err
		}
		lines = append(lines, describeEnded(n, out)...)
		if err := fetchLog(ctx, r.Shell, n, dir, r.Dir); err != nil {
			return lines, err
		}
		if out, err = persist(ctx, r.Shell, n, mendScript(dir)); err != nil {
			return lines, fmt.Errorf("take back what was done to it: %w", err)
		}
		lines = append(lines, describeMended(n, out)...)
	}
	for _, p := range r.Left.Processes {
		if p.Node != n {
			continue
		}
		if err := r.Ledger.ProcessEnded(p); err != nil {
			return lines, err
		}
	}
	// The newest first: what was made last may stand on what was made before.
	for _, res := range slices.Backward(r.Left.Resources) {
		if res.Node != n {
			continue
		}
		script := removeScript(res.Name)
		if res.Kind == resourceChains {
			script = razeScript(res.Name)
		}
		if _, err := persist(ctx, r.Shell, n, script); err != nil {
			return lines, fmt.Errorf("remove %s: %w", res, err)
		}
		if err := r.Ledger.ResourceGone(res); err != nil {
			return lines, err
		}
		lines = append(lines, fmt.Sprintf("node %s: removed its %s %s", n, res.Kind, res.Name))
	}
	return lines, nil
}

// endScript ends all processes of the run on a node: those that carry the node's own
// paths at the end of an argument, with their groups and whatever else belongs to the
// node, the supervisor first, so that nothing is started meanwhile. It prints "frozen
// PID" or "ended PID" for each.
func endScript(dir string) string {
	return fmt.Sprintf(`d=%s
for f in supervise %s life agent; do
  i=0
  while :; do
    found=0
    for c in $(grep -lz -e %s"/$f\$" /proc/[0-9]*/cmdline 2>/dev/null); do
      p=${c#/proc/}
      p=${p%%/cmdline}
      s=$(sed 's/.*) \(.\).*/\1/' "/proc/$p/stat" 2>/dev/null) || continue
      if [ "$i" = 0 ] && [ "$s" = T ]; then echo "frozen $f $p"; fi
      if [ "$i" = 0 ] && [ "$s" != T ]; then echo "ended $f $p"; fi
      o=
      if [ -e "$d/%s" ]; then o=$(sh "$d/%[4]s" "$p" 2>/dev/null) || :; fi
      kill -KILL -- "-$p" 2>/dev/null || kill -KILL "$p" 2>/dev/null || continue
      for q in $o; do kill -KILL "$q" 2>/dev/null || :; done
      found=1
    done
    if [ "$found" = 0 ]; then break; fi
    i=$((i+1))
    if [ "$i" -gt %d ]; then echo "process $p outlives SIGKILL" >&2; exit 1; fi
    sleep 0.02
  done
done
`, Quote(dir), dataDir, Quote(pattern(dir)), othersFile, statePolls)
}

// describeEnded words what endScript found, as far as it concerns the node itself.
func describeEnded(n nemesis.Node, out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) != 3 || words[1] != dataDir {
			continue
		}
		if words[0] == "frozen" {
			lines = append(lines, fmt.Sprintf(
				"node %s: ended process %s, which was frozen", n, words[2]))
			continue
		}
		lines = append(lines, fmt.Sprintf("node %s: ended process %s", n, words[2]))
	}
	return lines
}

// reachScript looks whether a host reaches others: a connection that is refused takes a
// way there and back as well as one that stands. It prints those that it does not reach,
// or that bash cannot look.
func reachScript(others []Host, port uint16) string {
	var b strings.Builder
	b.WriteString(bashSends)
	fmt.Fprintf(&b, "if ! e=$(bash_sends); then echo \"%s$e\"; exit 0; fi\n", noBash)
	b.WriteString("for i in 1 2 3; do\n  dead=\n")
	for _, h := range others {
		fmt.Fprintf(&b, "  e=$(timeout 2 bash -c ': >/dev/tcp/%s/%d' 2>&1) || "+
			"case $e in *refused*) ;; *) dead=\"$dead %s\" ;; esac\n", h.Addrs[0], port, h.Node)
	}
	b.WriteString("  if [ -z \"$dead\" ]; then exit 0; fi\ndone\necho \"$dead\"\n")
	return b.String()
}

// reach verifies that all hosts reach each other, and names the pairs that do not.
func (r Remains) reach(ctx context.Context) error {
	r.ClientPort = cmp.Or(r.ClientPort, defaultClientPort)
	errs := make([]error, len(r.Hosts))
	var wg sync.WaitGroup
	for i, h := range r.Hosts {
		others := slices.DeleteFunc(slices.Clone(r.Hosts), func(o Host) bool {
			return o.Node == h.Node
		})
		wg.Go(crash.Guard(func() {
			dead, err := r.knock(ctx, h.Node, others)
			if err == nil && dead != "" {
				err = fmt.Errorf("it does not reach %s", dead)
			}
			if err != nil {
				errs[i] = fmt.Errorf("node %s: %w", h.Node, err)
			}
		}))
	}
	wg.Wait()
	return errors.Join(errs...)
}

// knock returns the others that a host does not reach.
func (r Remains) knock(ctx context.Context, n nemesis.Node, others []Host) (string, error) {
	bash, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	out, err := persist(bash, r.Shell, n, reachScript(others, r.ClientPort))
	if err != nil {
		return "", err
	}
	why := bashless(out)
	if why == "" || len(others) == 0 {
		return strings.TrimSpace(out), nil
	}
	if r.Agent == nil {
		return "", fmt.Errorf("nobody can look whom it reaches: %s, and there is no agent", why)
	}
	program, err := r.Agent()
	if err != nil {
		return "", err
	}
	ctx, cancel = context.WithTimeout(ctx, agentHealLimit)
	defer cancel()
	return r.knockByAgent(ctx, n, others, program)
}

// agentHealLimit bounds what is done by an agent that has to be brought first, maybe over
// a slow line.
const agentHealLimit = 3 * time.Minute

// knockByAgent brings the agent to the host, where the run's own is gone by now, and takes
// it away again. Its directory is in the ledger as everything else.
func (r Remains) knockByAgent(
	ctx context.Context, n nemesis.Node, others []Host, program []byte,
) (_ string, err error) {
	dir := fmt.Sprintf("%s/heal-%s/%s", r.root(), secret(), n)
	res := nemesis.Resource{Node: n, Kind: resourceDirectory, Name: dir}
	if err := r.Ledger.ResourceMaking(res); err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healLimit)
		defer cancel()
		if _, gone := persist(ctx, r.Shell, n, removeScript(dir)); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", res, gone))
			return
		}
		err = errors.Join(err, r.Ledger.ResourceGone(res))
	}()
	mark := fmt.Sprintf("mkdir -p %s\n: >%[1]s/%s\n", Quote(dir), markFile)
	if _, err := persist(ctx, r.Shell, n, mark); err != nil {
		return "", err
	}
	file := File{Path: agentIn(dir), Content: program, Mode: 0o755}
	if err := r.Shell.Upload(ctx, n, file); err != nil {
		return "", err
	}
	var dead []string
	for range knocks {
		if dead, err = r.askReach(ctx, n, others, agentIn(dir)); err != nil || dead == nil {
			break
		}
	}
	return strings.Join(dead, " "), err
}

const (
	// knocks is how often others are tried that do not answer within knockLimit.
	knocks     = 3
	knockLimit = 2 * time.Second
)

// askReach has the agent knock once, and returns those that did not answer.
func (r Remains) askReach(
	ctx context.Context, n nemesis.Node, others []Host, program string,
) ([]string, error) {
	var to []string
	for _, h := range others {
		to = append(to, string(h.Node)+"="+join(h.Addrs[0], r.ClientPort))
	}
	out, err := Must(ctx, r.Shell, n, Command{Argv: []string{
		program, "agent", "probe", "reach", "--to", strings.Join(to, ","),
		"--timeout", knockLimit.String(),
	}})
	if err != nil {
		return nil, err
	}
	var all []agent.Reach
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("the agent said %q: %w", shorten(string(out)), err)
	}
	var dead []string
	for _, reach := range all {
		if !reach.Answers {
			dead = append(dead, string(reach.To))
		}
	}
	return dead, nil
}

// root is the directory below which the run had its own, as far as one knows.
func (r Remains) root() string {
	for _, res := range r.Left.Resources {
		if res.Kind == resourceDirectory {
			return path.Dir(path.Dir(res.Name))
		}
	}
	return Config{}.withDefaults().Root
}
