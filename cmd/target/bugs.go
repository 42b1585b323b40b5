package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/target/bug"
)

func newBugs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "bugs", Short: "list the bugs that can be planted",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(bug.All())
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "BUG\tCLASS\tPROTOCOLS\tCORRECT\tWITH THE BUG")
			for _, b := range bug.All() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n",
					b.ID, b.Class, strings.Join(b.Protocols, " "), b.Correct, b.Wrong)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
	return cmd
}
