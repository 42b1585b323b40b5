package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const controllerMemory = "memory"

// limitMemory limits the memory of processes that are in a control group. What a process
// has taken counts where it was taken, for ever; so they have to be in it from their start:
// they enter by themselves, writing their pids to the file that is named in Enter.
type limitMemory struct {
	// MemorySetting is what is to be in force, Set what is.
	MemorySetting
	Set MemorySetting `json:"set"`
	// Enter gets one line: where the group's list of processes is.
	Enter string `json:"enter"`
	// Name makes the group's name, Proc is "/proc".
	Name string `json:"name"`
	Proc procFS `json:"proc"`

	controlGroup
	MemoryLimit
	// Base is what the kernel had counted when the limit was set.
	Base memoryCounts `json:"base"`
}

// MemorySetting is a limit: so many percent of what is used when it is set, or bytes. The
// zero setting is none.
type MemorySetting struct {
	Percent int   `json:"percent"`
	Bytes   int64 `json:"bytes"`
}

// MemoryLimit is what came of a setting.
type MemoryLimit struct {
	// Limit is in bytes; 0: there is none. It is higher than it was to be where the kernel
	// could not take so much away: nobody is killed by the setting alone.
	Limit int64 `json:"limit"`
	// Before and After are what was used just before it was set, and just after.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// MemoryStatus is what a limit of memory has done.
type MemoryStatus struct {
	MemoryLimit
	Group string `json:"group"`
	PIDs  []int  `json:"pids"`
	Used  int64  `json:"used"`
	// Met is how often the processes have wanted more since the limit was set, Kills how many
	// of them the kernel has killed for it.
	Met   int64 `json:"met"`
	Kills int64 `json:"kills"`
}

// memoryCounts are the kernel's own; they only grow.
type memoryCounts struct {
	Met   int64 `json:"met"`
	Kills int64 `json:"kills"`
}

// limitless: what is above that is no limit; cgroup v1 says so by the greatest number of
// pages.
const limitless = 1 << 60

func (*limitMemory) kind() string { return "memory" }

func (s MemorySetting) validate() error {
	if s.Percent < 0 || s.Percent > 100 || s.Bytes < 0 || s.Percent > 0 && s.Bytes > 0 {
		return fmt.Errorf("%w: %d percent, %d bytes: one of them, or none for no limit", ErrUsage,
			s.Percent, s.Bytes)
	}
	return nil
}

// identity is what a repeated call has to have in common: the setting may be another.
func (x *limitMemory) identity() any {
	y := *x
	y.MemorySetting = MemorySetting{}
	return y
}

// adjust takes a new setting into what was recorded.
func (x *limitMemory) adjust(recorded func() error) error {
	want := x.MemorySetting
	err := recorded()
	x.MemorySetting = want
	return err
}

// prepare plans the group below that of this process, where processes that are started by
// the same hand begin.
func (x *limitMemory) prepare(string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if !filepath.IsAbs(x.Enter) {
		return fmt.Errorf("%w: %q is not an absolute path", ErrUsage, x.Enter)
	}
	me, err := x.Proc.look(os.Getpid())
	if err != nil {
		return err
	}
	return x.plan(x.Proc, controllerMemory, x.Name, []Process{me})
}

func (x *limitMemory) apply(string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if err := x.create(controllerMemory); err != nil {
		return err
	}
	list := filepath.Join(x.Group, groupList)
	if err := writeWhole(x.Enter, []byte(list+"\n")); err != nil {
		return err
	}
	if x.MemorySetting == x.Set {
		return x.put(x.Limit) // a percentage is not taken twice
	}
	return x.set()
}

// set puts a new setting in force.
func (x *limitMemory) set() error {
	var err error
	if x.Before, err = x.used(); err != nil {
		return err
	}
	want := x.Bytes
	if x.Percent > 0 {
		inside, err := groupMembers(x.Group)
		if err != nil {
			return err
		}
		if len(inside) == 0 {
			return errors.New("there is no process in the group: percent of what?")
		}
		want = x.Before / 100 * int64(x.Percent)
	}
	if x.Base, err = x.counts(); err != nil {
		return err
	}
	if want == 0 {
		err = x.put(0)
	} else {
		err = x.squeeze(want)
	}
	if err != nil {
		return err
	}
	x.Set = x.MemorySetting
	if x.Limit, err = x.limit(); err != nil {
		return err
	}
	x.After, err = x.used()
	return err
}

// file is the name of a control file, which is another in the two versions.
func (x *limitMemory) file(one, two string) string {
	if x.Unified {
		return two
	}
	return one
}

// put writes a limit; 0 is none.
func (x *limitMemory) put(limit int64) error {
	text := strconv.FormatInt(limit, 10)
	if limit == 0 {
		text = x.file("-1", "max")
	}
	return writeControl(x.Group, x.file("memory.limit_in_bytes", "memory.max"), text)
}

// squeezes is how often a limit is tried that the processes outgrow meanwhile.
const squeezes = 50

// squeeze has the kernel take away what it can down to want, and limits them to that, or
// to what they have then. In v1 a limit below that is refused, in v2 it would kill.
func (x *limitMemory) squeeze(want int64) error {
	if x.Unified {
		if err := x.reclaim(want); err != nil {
			return err
		}
		now, err := x.used()
		if err != nil {
			return err
		}
		return x.put(max(want, now))
	}
	err := x.put(want)
	for try := 0; errors.Is(err, syscall.EBUSY) && try < squeezes; try++ {
		now, uerr := x.used()
		if uerr != nil {
			return uerr
		}
		err = x.put(max(want, now))
	}
	return err
}

// reclaim takes memory away in v2. Older kernels do that only for a limit that slows down.
func (x *limitMemory) reclaim(want int64) error {
	now, err := x.used()
	if err != nil || now <= want {
		return err
	}
	err = writeControl(x.Group, "memory.reclaim", strconv.FormatInt(now-want, 10))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(
			writeControl(x.Group, "memory.high", strconv.FormatInt(want, 10)),
			writeControl(x.Group, "memory.high", "max"))
	}
	if errors.Is(err, syscall.EAGAIN) {
		return nil // not all of it
	}
	return err
}

// number reads a control file; "max" is limitless.
func (x *limitMemory) number(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(x.Group, name))
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return limitless, nil
	}
	return strconv.ParseInt(word, 10, 64)
}

func (x *limitMemory) used() (int64, error) {
	return x.number(x.file("memory.usage_in_bytes", "memory.current"))
}

// limit is what the kernel says that is in force; 0: none.
func (x *limitMemory) limit() (int64, error) {
	n, err := x.number(x.file("memory.limit_in_bytes", "memory.max"))
	if n >= limitless {
		n = 0
	}
	return n, err
}

// counts reads what the kernel has counted since the group was made.
func (x *limitMemory) counts() (memoryCounts, error) {
	var c memoryCounts
	text, err := os.ReadFile(filepath.Join(x.Group, x.file("memory.oom_control", "memory.events")))
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch {
		case name == "oom_kill":
			c.Kills = n
		case name == "max" && x.Unified:
			c.Met = n
		}
	}
	if !x.Unified {
		c.Met, err = x.number("memory.failcnt")
	}
	return c, err
}

func (x *limitMemory) status() (MemoryStatus, error) {
	s := MemoryStatus{MemoryLimit: x.MemoryLimit, Group: x.Group}
	now, err := x.counts()
	if err != nil {
		return s, err
	}
	s.Met, s.Kills = now.Met-x.Base.Met, now.Kills-x.Base.Kills
	if s.PIDs, err = groupMembers(x.Group); err != nil {
		return s, err
	}
	if s.Limit, err = x.limit(); err != nil {
		return s, err
	}
	s.Used, err = x.used()
	return s, err
}

// undo lets nobody enter any more, and sends all home without a limit.
func (x *limitMemory) undo(string) (string, error) {
	if err := remove(x.Enter); err != nil {
		return "", err
	}
	return "", x.dissolve()
}

func memoryCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "memory", Short: "Limit memory", Args: noArgs, RunE: needSubcommand,
	}
	cmd.AddCommand(inflicting("limit", "Make a group of processes, and limit their memory", out,
		func(cmd *cobra.Command) injury {
			x := &limitMemory{Proc: "/proc"}
			flags := cmd.Flags()
			flags.StringVar(&x.Enter, "enter", "", "file that will say where processes enter, absolute")
			flags.IntVar(&x.Percent, "percent", 0, "of what they use now")
			flags.Int64Var(&x.Bytes, "bytes", 0, "how much, instead; 0 of both: no limit")
			_ = cmd.MarkFlagRequired("enter")
			return x
		}))
	return cmd
}
