package agent

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
)

// skew bends the time of day that processes tell, whatever they are written in.
type skew struct {
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	SkewSetting
	// Name makes the tag by which processes are known again, Proc is "/proc".
	Name string `json:"name"`
	Proc procFS `json:"proc"`

	// Bent are the processes that were bent, in the order in which that was done.
	Bent []skewed `json:"bent"`
	// Set is the setting that was written last, at Base by the monotonic clock.
	Set  SkewSetting `json:"set"`
	Base int64       `json:"base"`
}

// skewed names a process that was bent.
type skewed struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
}

// SkewSetting is what is wrong with a process's time of day; the zero setting is true.
type SkewSetting struct {
	// Offset is how far it is ahead.
	Offset time.Duration `json:"offset"`
	// Gain is what it gains in each second: 0.05 is 5 % too fast.
	Gain float64 `json:"gain"`
	// Period, if not 0, is how long Offset lasts, and then for how long it is away.
	Period time.Duration `json:"period"`
}

const (
	// maxOffset keeps times within what all programs can write down, maxGain the product
	// of a gain and days within 64 bits.
	maxOffset = 20 * 365 * 24 * time.Hour
	maxGain   = 100
)

func (s SkewSetting) validate() error {
	switch {
	case s.Offset.Abs() > maxOffset || !(math.Abs(s.Gain) <= maxGain):
		return fmt.Errorf("%w: offset %v, gain %v: at most %v, %d", ErrUsage, s.Offset, s.Gain,
			maxOffset, maxGain)
	case s.Gain <= -1:
		return fmt.Errorf("%w: gain %v: time would not go forward", ErrUsage, s.Gain)
	case s.Period != 0 && (s.Period < time.Millisecond || s.Offset == 0):
		return fmt.Errorf("%w: period %v of offset %v", ErrUsage, s.Period, s.Offset)
	}
	return nil
}

// SkewStatus is what is known of processes whose time of day is bent.
type SkewStatus struct {
	// Bent have the code that bends, read back; True belong to the same marker, or descend
	// from one that does, and do not have it.
	Bent []Process `json:"bent"`
	True []Process `json:"true"`
	// Ahead is how far the clock of the first is ahead, as that code told when it was run
	// with its data; with a period the furthest away of several looks, and Jumps how often
	// it went away or came back in them.
	Ahead time.Duration `json:"ahead"`
	Jumps int64         `json:"jumps"`
	// Since is the time from when the setting was written until that look.
	Since time.Duration `json:"since"`
}

func (*skew) kind() string { return "skew" }

// identity is what a repeated call has to have in common: the setting may be another.
func (x *skew) identity() any {
	y := *x
	y.SkewSetting = SkewSetting{}
	return y
}

// adjust takes a new setting into what was recorded.
func (x *skew) adjust(recorded func() error) error {
	set := x.SkewSetting
	err := recorded()
	x.SkewSetting = set
	return err
}

// tag is that of the record.
func (x *skew) tag() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(x.Name))
	return h.Sum64()
}

func clockCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "clock", Short: "Bend the time of day of processes", Args: noArgs, RunE: needSubcommand,
	}
	cmd.AddCommand(inflicting("bend", "Bend the time of day of processes, or bend it anew", out,
		func(cmd *cobra.Command) injury {
			x := &skew{Proc: "/proc"}
			flags := cmd.Flags()
			flags.StringVar(&x.Marker, "marker", "",
				"processes that carry it, and those that descend from them")
			flags.IntSliceVar(&x.PIDs, "pid", nil, "processes, instead of a marker")
			flags.DurationVar(&x.Offset, "offset", 0, "how far ahead, or behind")
			flags.Float64Var(&x.Gain, "gain", 0, "seconds gained in each second")
			flags.DurationVar(&x.Period, "period", 0, "the offset comes and goes so often")
			return x
		}))
	return cmd
}
