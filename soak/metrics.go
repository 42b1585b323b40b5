package soak

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Metrics writes the summary in the text format of Prometheus, for the node exporter's
// directory of text files, or for a page that is scraped.
func (sum Summary) Metrics(w io.Writer) error {
	m := metrics{Writer: bufio.NewWriter(w), soak: sum.Name}
	m.family("runs_total", "counter", "Runs that ended, by cell and outcome.")
	for _, c := range sum.Cells {
		for _, o := range Outcomes() {
			m.sample("runs_total", float64(c.Outcomes[o]), "cell", c.ID, "cluster", c.Cluster,
				"system", c.System, "workload", c.Workload, "faults", c.Faults, "outcome", string(o))
		}
	}
	m.family("canary_found_total", "counter", "Runs that found the planted bug of a canary.")
	for _, c := range sum.Canaries {
		m.sample("canary_found_total", float64(c.Found), "cell", c.Cell)
	}
	m.family("canary_missed", "gauge", "1 while the planted bug of a canary was not found.")
	for _, c := range sum.Canaries {
		m.sample("canary_missed", number01(c.missed()), "cell", c.Cell)
	}
	m.family("finding_runs_total", "counter", "Runs that showed a finding.")
	for _, f := range sum.Findings {
		m.sample("finding_runs_total", float64(f.Runs), "finding", f.ID, "system", f.System,
			"checker", f.Checker)
	}
	m.family("finding_reproduced_ratio", "gauge",
		"Share of the repetitions of a finding that showed it again.")
	for _, f := range sum.Findings {
		if f.Tries > 0 {
			m.sample("finding_reproduced_ratio", float64(f.Reproduced)/float64(f.Tries),
				"finding", f.ID)
		}
	}
	for _, g := range []struct {
		name, kind, help string
		value            float64
	}{
		{"findings", "gauge", "Findings, told apart by their signatures.", float64(len(sum.Findings))},
		{"operations_total", "counter", "Operations of all runs.", float64(sum.Operations)},
		{"interrupted_total", "counter", "Runs that were cut off.", float64(sum.Interrupted)},
		{"pruned_total", "counter", "Runs whose files were removed.", float64(sum.Pruned)},
		{"running", "gauge", "Runs that go on.", float64(sum.Open)},
		{"active_seconds_total", "counter", "Time at work.", sum.Active.Seconds()},
		{"cpu_seconds_total", "counter", "Time of processors.", sum.CPU.Seconds()},
		{"kept_bytes", "gauge", "Files of runs on the disk.", float64(sum.Kept)},
		{"started_seconds", "gauge", "When it began.", unix(sum.Started.UnixMilli())},
		{"last_seconds", "gauge", "When it last made progress.", unix(sum.Last.UnixMilli())},
	} {
		m.family(g.name, g.kind, g.help)
		m.sample(g.name, g.value)
	}
	m.family("outcome", "gauge", "1 for the gravest outcome so far.")
	for _, o := range Outcomes() {
		m.sample("outcome", number01(o == sum.Outcome), "outcome", string(o))
	}
	if err := m.Flush(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// MetricsHandler answers with the metrics of the soak in a directory, as its journal has them
// at that moment.
func MetricsHandler(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		state, err := LoadState(dir)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = summarize([]*State{state}).Metrics(w) // it fails only when nobody listens any more
	})
}

func unix(ms int64) float64 { return float64(ms) / 1000 }

func number01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type metrics struct {
	*bufio.Writer
	soak string
}

func (m metrics) family(name, kind, help string) {
	fmt.Fprintf(m, "# HELP ordeal_soak_%s %s\n# TYPE ordeal_soak_%s %s\n", name, help, name, kind)
}

// sample writes one value; labels are names and values in turn.
func (m metrics) sample(name string, value float64, labels ...string) {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	pairs := []string{`soak="` + escape.Replace(m.soak) + `"`}
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf(`%s="%s"`, labels[i], escape.Replace(labels[i+1])))
	}
	fmt.Fprintf(m, "ordeal_soak_%s{%s} %v\n", name, strings.Join(pairs, ","), value)
}
