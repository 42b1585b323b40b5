package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Print writes the report for a person: a table of what works where, then for all that
// does not, why, and what to do.
func (r Report) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "mechanism")
	for _, n := range r.Nodes {
		fmt.Fprintf(tw, "\t%s", n)
	}
	fmt.Fprintln(tw, "\tfor")
	for _, row := range r.Rows {
		fmt.Fprint(tw, row.Name)
		for _, f := range row.Findings {
			fmt.Fprintf(tw, "\t%s", row.mark(f))
		}
		fmt.Fprintf(tw, "\t%s\n", row.For)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		for _, c := range row.choices() {
			if _, err := fmt.Fprintf(w, "\n%s on %s by the %s: %s\n", row.Name,
				strings.Join(c.nodes, ", "), c.by, c.why); err != nil {
				return err
			}
		}
		for _, c := range row.complaints() {
			if _, err := fmt.Fprintf(w, "\n%s does not work on %s: %s\n  without it: %s%s\n", row.Name,
				strings.Join(c.nodes, ", "), c.why, row.Without, row.advice()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m Mechanism) mark(f Finding) string {
	switch {
	case f.OK && f.Choice != "":
		return f.Choice
	case f.OK:
		return "ok"
	case f.Detail == notReached:
		return "-"
	case m.Needed:
		return "FAIL"
	default:
		return "no"
	}
}

func (m Mechanism) advice() string {
	if m.Package == "" {
		return ""
	}
	return "; packages: " + m.Package
}

// reason is one with the nodes that have it.
type reason struct {
	by, why string
	nodes   []string
}

// complaints are the reasons why a mechanism does not work, each once.
func (r Row) complaints() []reason {
	return r.reasons(func(f Finding) bool { return !f.OK && f.Detail != notReached })
}

// choices are the reasons why it works by another way than the first, each once.
func (r Row) choices() []reason {
	return r.reasons(func(f Finding) bool { return f.OK && f.Choice != "" && f.Detail != "" })
}

func (r Row) reasons(of func(Finding) bool) []reason {
	var out []reason
	for _, f := range r.Findings {
		if !of(f) {
			continue
		}
		i := slices.IndexFunc(out, func(o reason) bool { return o.by == f.Choice && o.why == f.Detail })
		if i < 0 {
			i, out = len(out), append(out, reason{by: f.Choice, why: f.Detail})
		}
		out[i].nodes = append(out[i].nodes, string(f.Node))
	}
	return out
}
