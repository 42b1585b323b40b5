package agent

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

// volume moves a directory to a volume of its own, a file with a filesystem in it, where
// power can fail for it alone: the kernel's own shutdown of a filesystem drops all that was
// not synced, as the loss of power would, while the machine goes on.
type volume struct {
	Dir string `json:"dir"`
	// Filesystem is ext4 or xfs, Size that of the volume in bytes; 0: as the data wants.
	Filesystem string `json:"filesystem"`
	Size       int64  `json:"size"`
	// Marker and PIDs are the processes that the power fails for.
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	// Power is what is to be with it. The processes have to be down for it to come on.
	Power VolumePower `json:"power"`
	Proc  procFS      `json:"proc"`

	// Image is the file, Mount where it is mounted; what is in Dir is in Mount/data.
	Image string `json:"image"`
	Mount string `json:"mount"`
	PowerStatus
}

// PowerStatus is what is known of a volume of its own.
type PowerStatus struct {
	// Moved says that the data is on the volume, Failed that it is shut down and not yet
	// mounted anew.
	Moved  bool `json:"moved"`
	Failed bool `json:"failed"`
	// Failures counts how often the power failed. Kept and Lost are what became of two
	// files: one that was synced when the power came on, one written unsynced just before.
	Failures int  `json:"failures"`
	Kept     bool `json:"kept"`
	Lost     bool `json:"lost"`
	// Before and After are the bytes in the files of the data just before the last failure
	// and after it.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// VolumePower is what is to be with a volume.
type VolumePower string

// The states of a volume's power.
const (
	// PowerOn: the data is on the volume, and it is mounted, after a failure anew.
	PowerOn VolumePower = "on"
	// PowerOff: the processes are stopped by SIGSTOP, then nothing gets to the disk any more.
	PowerOff VolumePower = "off"
)

const (
	volumeData = "data"
	// syncedFile and unsyncedFile tell what a failure of the power took.
	syncedFile   = ".ordeal-synced"
	unsyncedFile = ".ordeal-unsynced"
	// volumeLeast is the size of the smallest volume; xfs takes no smaller one.
	volumeLeast = 320 << 20
)

func (*volume) kind() string { return "volume" }

func (x *volume) validate() error {
	if !slices.Contains([]string{"ext4", "xfs"}, x.Filesystem) {
		return fmt.Errorf("%w: filesystem %q: there is ext4 and xfs", ErrUsage, x.Filesystem)
	}
	if x.Power != PowerOn && x.Power != PowerOff {
		return fmt.Errorf("%w: power %q: on or off", ErrUsage, x.Power)
	}
	if x.Size < 0 || x.Size > 0 && x.Size < volumeLeast {
		return fmt.Errorf("%w: size %d: at least %d", ErrUsage, x.Size, volumeLeast)
	}
	return nil
}

// identity is what a repeated call has to have in common: the power may be another.
func (x *volume) identity() any {
	y := *x
	y.Power = ""
	return y
}

// adjust takes what is to be with the power into what was recorded.
func (x *volume) adjust(recorded func() error) error {
	power := x.Power
	err := recorded()
	x.Power = power
	return err
}

func volumeCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "volume", Short: "Give data a volume of its own", Args: noArgs, RunE: needSubcommand,
	}
	cmd.AddCommand(inflicting("power", "Move a directory to a volume, and let its power fail", out,
		func(cmd *cobra.Command) injury {
			x := &volume{Proc: "/proc"}
			flags := cmd.Flags()
			flags.StringVar(&x.Dir, "dir", "", "the directory")
			flags.StringVar(&x.Filesystem, "filesystem", "ext4", "ext4 or xfs")
			flags.Int64Var(&x.Size, "size", 0, "of the volume in bytes; 0: as the data wants")
			flags.StringVar(&x.Marker, "marker", "", "processes that carry it, and their children")
			flags.IntSliceVar(&x.PIDs, "pid", nil, "processes, instead of a marker")
			flags.StringVar((*string)(&x.Power), "power", "on", "on or off")
			_ = cmd.MarkFlagRequired("dir")
			return x
		}))
	cmd.AddCommand(stallCommands(out)...)
	return cmd
}
