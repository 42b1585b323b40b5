package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/cluster/agent"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// What is done to a host's files, volumes and CPU time is done by the agent's program,
// one command each, with a record in the node's directory that is written before the act.
// As long as a record is there the directory is not removed: whoever takes it away, Close
// or Heal, takes back first what the records say.

// injuryDir has the records, below the node's directory.
const injuryDir = "injuries"

var _ nemesis.Hosts = (*Cluster)(nil)

// record is the file of an injury's record.
func (m *member) injuryRecord(h nemesis.Handle) string {
	return m.dir + "/" + injuryDir + "/" + string(h) + ".json"
}

// kept is where the copies are that InjuryKeep makes.
func (m *member) kept(h nemesis.Handle) string {
	return m.dir + "/" + injuryDir + "/" + string(h) + ".kept"
}

// place makes a path of an injury absolute.
func (m *member) place(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(m.spec.DataDir, p)
}

// injuryWords is the agent's command that does an injury, without its record.
func (m *member) injuryWords(h nemesis.Handle, i nemesis.Injury) ([]string, error) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch i.Kind {
	case nemesis.InjuryCPU:
		return []string{
			"cpu", "limit", "--marker", m.spec.DataDir, "--percent", strconv.Itoa(i.Percent),
		}, nil
	case nemesis.InjuryMemory:
		return []string{
			"memory", "limit", "--enter", m.dir + "/" + enterFile,
			"--percent", strconv.Itoa(i.Percent), "--bytes", number(i.Bytes),
		}, nil
	case nemesis.InjuryFull:
		return []string{"disk", "fill", "--dir", m.place(i.Path), "--leave", number(i.Bytes)}, nil
	case nemesis.InjuryFlip:
		return []string{
			"file", "flip", "--path", m.place(i.Path),
			"--place", strconv.FormatFloat(i.Place, 'g', -1, 64),
		}, nil
	case nemesis.InjuryCut:
		return []string{"file", "truncate", "--path", m.place(i.Path), "--cut", number(i.Bytes)}, nil
	case nemesis.InjuryKeep:
		return []string{"file", "snapshot", "--path", m.place(i.Path), "--to", m.kept(h)}, nil
	case nemesis.InjuryRestore:
		return []string{"file", "restore", "--from", m.kept(h)}, nil
	case nemesis.InjurySkew:
		return []string{
			"clock", "bend", "--marker", m.spec.DataDir, "--offset", i.Offset.String(),
			"--gain", strconv.FormatFloat(i.Gain, 'g', -1, 64), "--period", i.Period.String(),
		}, nil
	case nemesis.InjurySlow:
		return []string{
			"volume", "slow", "--volume", m.injuryRecord(nemesis.PowerHandle),
			"--delay", i.Offset.String(), "--gap", i.Period.String(),
		}, nil
	case nemesis.InjuryWrites:
		return []string{
			"disk", "limit", "--dir", m.place(i.Path), "--marker", m.spec.DataDir,
			"--rate", number(i.Bytes),
		}, nil
	case nemesis.InjuryPower:
		power := map[bool]agent.VolumePower{false: agent.PowerOn, true: agent.PowerOff}[i.Off]
		return []string{
			"volume", "power", "--dir", m.place(i.Path), "--marker", m.spec.DataDir,
			"--filesystem", i.Filesystem, "--power", string(power),
		}, nil
	default:
		return nil, fmt.Errorf("there is no injury %q", i.Kind)
	}
}

// injuryScript runs the agent's program in the place where records are.
func (m *member) injuryScript(words []string) string {
	return fmt.Sprintf("mkdir -p %s\n%s\n", Quote(m.dir+"/"+injuryDir),
		CommandLine(append([]string{m.agentProgram(), "agent"}, words...)))
}

// errNoAgent says that there is no program on the nodes that could do it.
var errNoAgent = errors.New("without an agent nothing can be done to a host")

// Injure implements nemesis.Hosts.
func (c *Cluster) Injure(
	ctx context.Context, n nemesis.Node, h nemesis.Handle, i nemesis.Injury,
) (nemesis.Injured, error) {
	var known nemesis.Injured
	err := c.do("injure", n, func(m *member) error {
		words, err := m.injuryWords(h, i)
		if err != nil {
			return err
		}
		if len(c.cfg.Agent) == 0 {
			return errNoAgent
		}
		if i.Kind != nemesis.InjuryKeep {
			words = append(words, "--record", m.injuryRecord(h))
		}
		out, err := c.script(ctx, m, m.injuryScript(words))
		if err != nil {
			return err
		}
		known, err = parseInjured(i.Kind, out)
		return err
	})
	return known, err
}

// parseInjured reads what the agent prints after an injury.
func parseInjured(kind nemesis.InjuryKind, out string) (nemesis.Injured, error) {
	var r struct {
		Path, Group                         string
		At, Size, Left, Took, Free, Changed int64
		Reserve                             int64
		Paths                               []string
		Bent                                []any
		Image, Mount, Device                string
	}
	var power agent.PowerStatus // its names mean something else in other records
	var memory agent.MemoryLimit
	err := json.Unmarshal([]byte(out), &r)
	switch {
	case err != nil:
	case kind == nemesis.InjuryPower:
		err = json.Unmarshal([]byte(out), &power)
	case kind == nemesis.InjuryMemory:
		err = json.Unmarshal([]byte(out), &memory)
	}
	if err != nil {
		return nemesis.Injured{}, fmt.Errorf("the agent said %q: %w", shorten(out), err)
	}
	known := nemesis.Injured{Where: r.Path, Facts: map[string]int64{}}
	switch kind {
	case nemesis.InjuryCPU:
		known.Where = r.Group
	case nemesis.InjuryMemory:
		known.Where = r.Group
		known.Facts = memoryFacts(agent.MemoryStatus{MemoryLimit: memory, Used: memory.After})
	case nemesis.InjuryFull:
		known.Facts["taken"], known.Facts["free"] = r.Took, r.Free
		known.Facts["reserve"] = r.Reserve
	case nemesis.InjuryFlip:
		known.Where = fmt.Sprintf("byte %d of %s", r.At, r.Path)
	case nemesis.InjuryCut:
		known.Facts["cut"] = r.Size - r.Left
		known.Where = fmt.Sprintf("the last %d bytes of %s", r.Size-r.Left, r.Path)
	case nemesis.InjuryRestore:
		known.Facts["changed"] = r.Changed
		known.Where = strings.Join(r.Paths, " ")
	case nemesis.InjurySlow:
		known.Where = r.Mount
	case nemesis.InjuryWrites:
		known.Where = "disk " + r.Device
	case nemesis.InjurySkew:
		known.Where = fmt.Sprintf("%d processes", len(r.Bent))
	case nemesis.InjuryPower:
		known.Where, known.Facts = r.Image, powerFacts(power)
	case nemesis.InjuryKeep:
		known.Where = strings.Join(r.Paths, " ")
	}
	return known, nil
}

// Injured implements nemesis.Hosts: what a limit of CPU time has done, or what a volume
// has free now. Of files there is no more to be known than Injure said.
func (c *Cluster) Injured(
	ctx context.Context, n nemesis.Node, h nemesis.Handle,
) (nemesis.Injured, error) {
	known := nemesis.Injured{Facts: map[string]int64{}}
	err := c.do("look at", n, func(m *member) error {
		out, err := c.script(ctx, m, m.injuryScript([]string{
			"injury", "--record", m.injuryRecord(h),
		}))
		if err != nil {
			return err
		}
		var s agent.InjuryStatus
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return fmt.Errorf("the agent said %q: %w", shorten(out), err)
		}
		switch {
		case s.CPU != nil:
			known.Where = s.CPU.Group
			known.Facts["periods"], known.Facts["throttled"] = s.CPU.Periods, s.CPU.Throttled
		case s.Memory != nil:
			known.Where, known.Facts = s.Memory.Group, memoryFacts(*s.Memory)
		case s.Volume != nil:
			known.Where = s.Volume.Path
			known.Facts["taken"], known.Facts["free"] = s.Volume.Took, s.Volume.Free
			known.Facts["reserve"] = s.Volume.Reserve
		case s.Writes != nil:
			known.Where = "disk " + s.Writes.Device
			known.Facts["written"] = s.Writes.Written
			known.Facts["since ms"] = s.Writes.Since.Milliseconds()
		case s.Stall != nil:
			known.Facts = stallFacts(*s.Stall)
		case s.Skew != nil:
			known.Facts = skewFacts(s.Skew)
		case s.Power != nil:
			known.Facts = powerFacts(*s.Power)
		}
		return nil
	})
	return known, err
}

func skewFacts(s *agent.SkewStatus) map[string]int64 {
	return map[string]int64{
		"bent": int64(len(s.Bent)), "true": int64(len(s.True)), "jumps": s.Jumps,
		"ahead ms": s.Ahead.Milliseconds(), "since ms": s.Since.Milliseconds(),
	}
}

func memoryFacts(s agent.MemoryStatus) map[string]int64 {
	return map[string]int64{
		"limit": s.Limit, "before": s.Before, "after": s.After, "used": s.Used, "met": s.Met,
		"killed": s.Kills,
	}
}

// groupMemory makes the group in which a node's memory can be limited, before the node
// starts: what a process has taken counts where it was taken.
func (c *Cluster) groupMemory(ctx context.Context, m *member) error {
	if !c.cfg.MemoryGroups {
		return nil
	}
	none := nemesis.Injury{Kind: nemesis.InjuryMemory}
	_, err := c.Injure(ctx, m.name, nemesis.MemoryHandle, none)
	return err
}

func stallFacts(s agent.StallStatus) map[string]int64 {
	facts := map[string]int64{
		"freezes": s.Freezes, "slow": s.Slow, "slowest ms": s.Slowest.Milliseconds(),
		"waiting": s.Waiting,
	}
	if s.State == agent.Running {
		facts["runs"] = 1
	}
	return facts
}

func powerFacts(s agent.PowerStatus) map[string]int64 {
	number := map[bool]int64{true: 1}
	return map[string]int64{
		"moved": number[s.Moved], "failed": number[s.Failed], "kept": number[s.Kept],
		"lost": number[s.Lost], "failures": int64(s.Failures), "before": s.Before, "after": s.After,
	}
}

// Mend implements nemesis.Hosts.
func (c *Cluster) Mend(
	ctx context.Context, n nemesis.Node, h nemesis.Handle,
) (string, error) {
	var u agent.Undone
	err := c.do("mend", n, func(m *member) error {
		out, err := c.script(ctx, m, m.injuryScript([]string{
			"undo", "--record", m.injuryRecord(h),
		}))
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(out), &u)
	})
	return u.Left, err
}

// mendScript takes back what all records of a node say, the newest first, and prints what
// the agent says of each. It fails when one cannot be taken back.
func mendScript(dir string) string {
	return fmt.Sprintf(`d=%s
for r in $(ls -t "$d/%s" 2>/dev/null | grep '\.json$' || :); do
  "$d/bin/checker" agent undo --record "$d/%[2]s/$r"
done
`, Quote(dir), injuryDir)
}

// thawScript takes back freezes of volumes. Nobody who waits for one can be killed, so it
// comes before that.
func thawScript(dir string) string {
	return fmt.Sprintf(`d=%s
for r in $(grep -ls '"kind":"stall"' "$d/%s"/*.json || :); do
  "$d/bin/checker" agent undo --record "$r"
done
`, Quote(dir), injuryDir)
}

// describeMended words what mendScript printed.
func describeMended(n nemesis.Node, out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		var u agent.Undone
		if json.Unmarshal([]byte(line), &u) != nil || !u.Found {
			continue
		}
		text := fmt.Sprintf("node %s: took back an injury (%s)", n, u.Kind)
		if u.Left != "" {
			text += ", but left it as it is: " + u.Left
		}
		lines = append(lines, text)
	}
	return lines
}
