package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
)

// summaryOps bounds the operations of the counter-example in a summary.
const summaryOps = 30

// Markdown writes the outcome for a person who reads a build's page: the verdict, why,
// what was exercised, the faults, and how to repeat it. GitHub shows it as the summary of
// a step. All text of the system under test is escaped: nothing of it becomes markup, a
// link, an image or a mention.
func Markdown(w io.Writer, r Run) error {
	p := newPage(r)
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "## %s %s: %s\n\n", badge(r.Result.Verdict),
		strings.ToUpper(p.Verdict), Inline(r.Name))
	for _, text := range []string{p.Lead, p.Setting.String()} {
		if text != "" {
			fmt.Fprintf(b, "> %s\n>\n", Inline(text))
		}
	}
	if p.Lead == "" {
		for _, g := range p.Grounds {
			fmt.Fprintf(b, "> %s (checker %s)\n>\n", Inline(g.Reason), Inline(g.Checker))
		}
	}
	fmt.Fprintf(b, "\n%s\n\nClaim: %s\n\n", Inline(p.Meaning), Inline(r.Claim))
	for _, n := range r.Notes {
		fmt.Fprintf(b, "- the run did not go as planned: %s\n", Inline(n))
	}
	markdownCounterexample(b, r)
	fmt.Fprint(b, "\n| checker | verdict | why |\n| --- | --- | --- |\n")
	for _, part := range p.Parts {
		fmt.Fprintf(b, "| %s%s | %s | %s |\n", strings.Repeat("&nbsp;&nbsp;", part.Depth),
			Inline(part.Name), part.Verdict, Inline(part.Reason))
	}
	if len(p.FaultRows) > 0 {
		fmt.Fprintf(b, "\n<details><summary>Faults: %d</summary>\n\n", len(p.FaultRows))
		fmt.Fprint(b, "| fault | what | from | to | evidence |\n| --- | --- | --- | --- | --- |\n")
		for _, f := range p.FaultRows {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s: %s |\n", Inline(f.Name), Inline(f.What),
				Inline(f.From), Inline(f.To), Inline(f.Verdict), Inline(f.Evidence))
		}
		fmt.Fprint(b, "\n</details>\n")
	}
	if r.Repeat != "" {
		fmt.Fprintf(b, "\nTo repeat it:\n\n%s", Fenced(r.Repeat))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

// markdownCounterexample lists the operations of the most telling one.
func markdownCounterexample(b io.Writer, r Run) {
	all := byGravity(r, counterexamples(r.Result))
	if len(all) == 0 {
		return
	}
	c := all[0]
	var lines []string
	if c.Before != "" {
		lines = append(lines, "before: "+brief(c.Before, whyMost))
	}
	for i, op := range c.Ops {
		if i == summaryOps {
			lines = append(lines, fmt.Sprintf("… and %d more", len(c.Ops)-i))
			break
		}
		end := "no answer"
		if op.Return >= 0 {
			end = fmt.Sprintf("%.6f", float64(op.Return)/1e9)
		}
		line := fmt.Sprintf("%12.6f  %12s  process %-4d %s", float64(op.Call)/1e9, end, op.Process,
			brief(op.Describe, whyMost))
		if mark := Culprit(c.checker, c.Counterexample, i); mark != "" {
			line += "  <- " + mark
		}
		lines = append(lines, line)
	}
	fmt.Fprintf(b, "\nCounter-example of %s, key %s (called, returned, in seconds):\n\n%s",
		Inline(c.checker), Inline(string(c.Key)), Fenced(strings.Join(lines, "\n")))
}

func badge(v check.Verdict) string {
	return map[check.Verdict]string{check.Valid: "✅", check.Unknown: "❓", check.Invalid: "❌"}[v]
}

// Inline writes text that stays text in one line of Markdown: its punctuation is written
// as character references, which no rule of Markdown and no finder of links looks into.
func Inline(text string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(visible(brief(text, whyMost))), " ") {
		switch {
		case strings.ContainsRune("&<>\"'`*_{}[]()#+-!|~\\@:/$^=", r), r == '.' && b.Len() == 0:
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Fenced writes text as a block of code, whatever is in it.
func Fenced(text string) string {
	text = visible(text)
	longest, run := 2, 0
	for _, r := range text {
		run++
		if r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	return fmt.Sprintf("%stext\n%s\n%s\n", fence, text, fence)
}
