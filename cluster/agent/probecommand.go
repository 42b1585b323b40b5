package agent

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func probeCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "probe", Short: "Look at the ways from here to others", Args: noArgs,
		RunE: needSubcommand,
	}
	cmd.AddCommand(probeSend(out), probeReach(out))
	return cmd
}

func probeSend(out io.Writer) *cobra.Command {
	var d Datagrams
	cmd := &cobra.Command{
		Use: "send", Short: "Send datagrams, to be counted where they arrive", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.Validate(); err != nil {
				return fmt.Errorf("%w: %w", ErrUsage, err)
			}
			return print(out, d.Send(cmd.Context()))
		},
	}
	cmd.Flags().StringSliceVar(&d.To, "to", nil, "addresses: 10.0.0.2:7009,…")
	cmd.Flags().StringVar(&d.Text, "text", "probe", "what is in them")
	cmd.Flags().IntVar(&d.Times, "times", 1, "how many each gets")
	cmd.Flags().DurationVar(&d.Pause, "pause", 10*time.Millisecond, "what lies between")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func probeReach(out io.Writer) *cobra.Command {
	var to string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "reach", Short: "Find out who answers a connection", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := ParseTargets(to)
			if err != nil {
				return err
			}
			if timeout <= 0 {
				return fmt.Errorf("%w: timeout %v", ErrUsage, timeout)
			}
			return print(out, FindReach(cmd.Context(), targets, timeout))
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "whom to connect to: n2=10.0.0.2:7000,…")
	cmd.Flags().DurationVar(&timeout, "timeout", 500*time.Millisecond, "for all of it")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}
