package agent

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
)

// recordFlag adds --record, the file that undoing is written down in.
func recordFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().String("record", "", "file for what undoing takes, absolute")
	_ = cmd.MarkFlagRequired("record")
	return path
}

// inflicting is a command that does an injury and prints what was recorded.
func inflicting(use, short string, out io.Writer, add func(*cobra.Command) injury) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noArgs}
	in := add(cmd)
	path := recordFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		switch x := in.(type) {
		case *limitCPU:
			x.Name = *path
		case *limitMemory:
			x.Name = *path
		case *limitWrites:
			x.Name = *path
		case *skew:
			x.Name = *path
		}
		if err := inflict(*path, in); err != nil {
			return err
		}
		return print(out, in)
	}
	return cmd
}

// InjuryStatus is what is known of an injury now.
type InjuryStatus struct {
	Kind string `json:"kind"`
	// CPU is that of a CPU limit, Volume that of a filled volume, Skew that of bent clocks;
	// nil otherwise.
	CPU    *CPUStatus    `json:"cpu,omitempty"`
	Volume *VolumeStatus `json:"volume,omitempty"`
	Skew   *SkewStatus   `json:"skew,omitempty"`
	// Memory is that of a limit of memory.
	Memory *MemoryStatus `json:"memory,omitempty"`
	// Writes is that of a limit of writes.
	Writes *WriteStatus `json:"writes,omitempty"`
	// Stall is that of a volume that is frozen again and again.
	Stall *StallStatus `json:"stall,omitempty"`
	// Power is that of a volume of its own.
	Power *PowerStatus `json:"power,omitempty"`
}

// VolumeStatus is what is known of a volume that was filled.
type VolumeStatus struct {
	// Path is the file that fills it, Took its size when it was made.
	Path string `json:"path"`
	Took int64  `json:"took"`
	// Free is what is free now, Reserve what was when the filesystem gave nothing
	// any more.
	Free    int64 `json:"free"`
	Reserve int64 `json:"reserve"`
}

// statusOf looks at the injury of a record.
func statusOf(path string) (InjuryStatus, error) {
	r, err := readRecord(path)
	if err != nil {
		return InjuryStatus{}, err
	}
	s := InjuryStatus{Kind: r.Kind}
	in, err := r.read(path)
	if err != nil {
		return s, err
	}
	if err := s.of(in); err != nil {
		return s, fmt.Errorf("look at %s: %w", r.Kind, err)
	}
	return s, nil
}

// of looks at an injury of which more can be seen than was recorded.
func (s *InjuryStatus) of(in injury) error {
	var err error
	switch x := in.(type) {
	case *limitCPU:
		s.CPU, err = seen(x.status)
	case *limitMemory:
		s.Memory, err = seen(x.status)
	case *fillDisk:
		s.Volume, err = seen(x.status)
	case *skew:
		s.Skew, err = seen(x.status)
	case *limitWrites:
		s.Writes, err = seen(x.status)
	case *stall:
		s.Stall, err = seen(x.status)
	case *volume:
		s.Power = &x.PowerStatus
	}
	return err
}

func seen[S any](look func() (S, error)) (*S, error) {
	s, err := look()
	return &s, err
}

func injuryCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "injury", Short: "Print what an injury has done so far", Args: noArgs,
	}
	path := recordFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		s, err := statusOf(*path)
		if err != nil {
			return err
		}
		return print(out, s)
	}
	return cmd
}

func undoCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo", Short: "Take back what a record says", Args: noArgs,
	}
	path := recordFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		u, err := Undo(*path)
		if err != nil {
			return err
		}
		return print(out, u)
	}
	return cmd
}

func fileCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "file", Short: "Damage files", Args: noArgs, RunE: needSubcommand,
	}
	target := func(cmd *cobra.Command, path *string) {
		cmd.Flags().StringVar(path, "path", "", "the file")
		_ = cmd.MarkFlagRequired("path")
	}
	cmd.AddCommand(
		inflicting("flip", "Flip a bit", out, func(cmd *cobra.Command) injury {
			x := &flipBit{}
			target(cmd, &x.Path)
			cmd.Flags().Float64Var(&x.Place, "place", 0, "where, from 0 to less than 1")
			cmd.Flags().Int64Var(&x.Offset, "offset", -1, "which byte, instead of place")
			cmd.Flags().IntVar(&x.Bit, "bit", 0, "which of its bits, 0 to 7")
			return x
		}),
		inflicting("truncate", "Cut the end off", out, func(cmd *cobra.Command) injury {
			x := &truncate{}
			target(cmd, &x.Path)
			cmd.Flags().Int64Var(&x.Cut, "cut", 0, "how many bytes")
			return x
		}),
		snapshotCommand(out),
		inflicting("restore", "Put a snapshot in place", out, func(cmd *cobra.Command) injury {
			x := &restore{}
			cmd.Flags().StringVar(&x.From, "from", "", "the snapshot's directory")
			_ = cmd.MarkFlagRequired("from")
			return x
		}),
	)
	return cmd
}

func snapshotCommand(out io.Writer) *cobra.Command {
	var paths []string
	var to string
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Copy files and directories, to be restored later", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, p := range append(paths, to) {
				if !filepath.IsAbs(p) {
					return fmt.Errorf("%w: path %q is not absolute", ErrUsage, p)
				}
			}
			if err := snapshot(paths, to); err != nil {
				return err
			}
			return print(out, map[string]any{"to": to, "paths": paths})
		},
	}
	cmd.Flags().StringArrayVar(&paths, "path", nil, "a file or directory; any number of times")
	cmd.Flags().StringVar(&to, "to", "", "a new directory for the copies")
	_ = cmd.MarkFlagRequired("path")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func diskCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "disk", Short: "Fill filesystems, slow disks down", Args: noArgs, RunE: needSubcommand,
	}
	cmd.AddCommand(inflicting("fill", "Fill a filesystem", out, func(cmd *cobra.Command) injury {
		x := &fillDisk{}
		cmd.Flags().StringVar(&x.Dir, "dir", "", "a directory of the filesystem")
		cmd.Flags().Int64Var(&x.Leave, "leave", 0, "bytes to leave free")
		cmd.Flags().Int64Var(&x.Most, "most", 1<<30, "refuse to take more bytes than this")
		_ = cmd.MarkFlagRequired("dir")
		return x
	}), writesCommand(out))
	return cmd
}

func processCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "process", Short: "Look at processes", Args: noArgs, RunE: needSubcommand,
	}
	var marker string
	var environment bool
	find := &cobra.Command{
		Use: "find", Short: "Print the processes that carry a marker", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := procFS("/proc").find(marker, environment)
			if err != nil {
				return err
			}
			return print(out, all)
		},
	}
	find.Flags().StringVar(&marker, "marker", "", "end of a word of their command line")
	find.Flags().BoolVar(&environment, "environment", false, "look at variables, too")
	_ = find.MarkFlagRequired("marker")
	cmd.AddCommand(find)
	return cmd
}

func cpuCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cpu", Short: "Limit CPU time", Args: noArgs, RunE: needSubcommand,
	}
	cmd.AddCommand(inflicting("limit", "Give processes a part of one CPU", out,
		func(cmd *cobra.Command) injury {
			x := &limitCPU{Proc: "/proc"}
			cmd.Flags().StringVar(&x.Marker, "marker", "", "processes that carry it")
			cmd.Flags().IntSliceVar(&x.PIDs, "pid", nil, "processes, instead of a marker")
			cmd.Flags().IntVar(&x.Percent, "percent", 10, "of one CPU, for all together")
			return x
		}))
	return cmd
}
