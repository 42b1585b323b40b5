package soak

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// jobIndex is where Kubernetes tells a pod of an indexed job its number, from 0.
const jobIndex = "JOB_COMPLETION_INDEX"

// ParseShard reads a part of a plan such as "3/10", or "job/10", whose number the
// environment tells.
func ParseShard(s string, getenv func(string) string) (shard, shards int, err error) {
	bad := func(why string) (int, int, error) {
		return 0, 0, fmt.Errorf("--shard %q: %s", s, why)
	}
	part, of, ok := strings.Cut(s, "/")
	if shards, err = strconv.Atoi(of); !ok || err != nil || shards < 1 {
		return bad("want K/N, such as 3/10")
	}
	if part == "job" {
		index := getenv(jobIndex)
		n, err := strconv.Atoi(index)
		if err != nil {
			return bad(fmt.Sprintf("%s is %q: this is no pod of an indexed job", jobIndex, index))
		}
		part = strconv.Itoa(n + 1)
	}
	if shard, err = strconv.Atoi(part); err != nil || shard < 1 || shard > shards {
		return bad("want K/N with K from 1 to N")
	}
	return shard, shards, nil
}

// firstRuns is how many runs a matrix is shown with.
const firstRuns = 20

// WriteMatrix prints the cells of a plan and its first runs, which are the same for the same
// seed.
func WriteMatrix(w io.Writer, o Options) error {
	b := bufio.NewWriter(w)
	seed := o.Seed
	if o.Plan.Seeded {
		seed = o.Plan.Seed
	}
	d := newDeck(seed, o.Plan.Cells)
	fmt.Fprintf(b, "%s: %d cells, %d runs a round, %d at a time, master seed %d\n\n", o.Plan.Name,
		len(o.Plan.Cells), d.cards, o.parallel(), seed)
	for _, c := range o.Plan.Cells {
		mark := ""
		if c.Canary {
			mark = "  (canary)"
		}
		fmt.Fprintf(b, "%4d  %s%s\n", c.Weight, c.ID, mark)
	}
	fmt.Fprintln(b, "\nthe first runs:")
	for n, shown := o.Shard, 0; shown < firstRuns; n, shown = n+o.Shards, shown+1 {
		if runs := o.budget().Runs; runs > 0 && n > runs {
			break
		}
		cfg := d.cell(n).Config
		cfg.Seed = runSeed(seed, n)
		fmt.Fprintf(b, "%4d  checker %s\n", n, strings.Join(cfg.Args(), " "))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write matrix: %w", err)
	}
	return nil
}
