package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/systems/declare"
)

func newInit(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "init NAME",
		Short: "Write a commented declaration of a system of your own, NAME.yaml",
		Long: `Init writes NAME.yaml, in which every key of a system's declaration has a comment: how
nodes are run, what is promised, how a client talks to them. Change it, then run

  checker test --system NAME.yaml

docs/TUTORIAL.md goes from there to a caught bug in ten minutes.`,
		Example: "  checker init mykv",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("init takes the name of a system, got %d arguments", len(args)))
			}
			text, err := declare.Skeleton(args[0])
			if err != nil {
				return usage(err)
			}
			path := args[0] + ".yaml"
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return usage(fmt.Errorf("init: %s is there already", path))
			}
			if err != nil {
				return fmt.Errorf("init: %w", err)
			}
			_, err = f.WriteString(text)
			if err := errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("init: %w", err)
			}
			fmt.Fprintf(std.out, "wrote %s: change it, then run checker test --system %[1]s\n", path)
			return nil
		},
	}
}
