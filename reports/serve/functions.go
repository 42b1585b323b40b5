package serve

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// functions are those of the templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"href":  href,
		"group": group, "decimal": decimal, "millis": millis, "join": strings.Join,
		"mark": mark,
		"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"size": size,
		"file": func(id store.ID, name string) string {
			parts := strings.Split(name, "/")
			for i, p := range parts {
				parts[i] = url.PathEscape(p)
			}
			return href(id) + "files/" + strings.Join(parts, "/")
		},
		"compare": func(a, b store.ID) string {
			return "/compare?" + url.Values{"a": {a.String()}, "b": {b.String()}}.Encode()
		},
		"api": func(id store.ID) string {
			return "/api/v1" + strings.TrimSuffix(href(id), "/")
		},
		"why":   why,
		"plain": plainReason,
		"few":   few,
		"link":  linkSign,
		"at":    func(s float64) string { return fmt.Sprintf("%.1f s", s) },
		"rest": func(s live.Snapshot) string {
			if s.Check.Expected <= 0 {
				return "nobody knows: no run of this workload was timed yet"
			}
			left := max(0, s.Check.Expected-s.Check.Took)
			return "about " + decimal(left) + " s"
		},
	}
}

// mark is the sign of a state, so that color is not all that tells it.
func mark(s string) string {
	switch s {
	case "valid":
		return "✓"
	case "invalid":
		return "✕"
	case "unknown":
		return "?"
	case "running":
		return "▶"
	default:
		return "–"
	}
}

// linkSign is the sign of what is done to a link.
func linkSign(s live.LinkState) string {
	switch s {
	case live.Cut:
		return "✕"
	case live.Disturbed:
		return "~"
	default:
		return "·"
	}
}

// why is the beginning of a reason, without the names of the checkers that only pass it on:
// those of the workload, which stands beside it.
func why(reason, workload string) string { return cut(plainReason(reason, workload), 200) }

func plainReason(reason, workload string) string {
	if workload == "" {
		return reason
	}
	for rest, same := "", true; same; {
		if rest, same = strings.CutPrefix(reason, workload+": "); same {
			reason = rest
		}
	}
	return reason
}

// few names the first of a list and counts the others.
func few(list []string) string {
	const most = 3
	if len(list) <= most+1 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func size(n int64) string {
	switch {
	case n < 10<<10:
		return group(n) + " B"
	case n < 10<<20:
		return group(n>>10) + " KiB"
	default:
		return group(n>>20) + " MiB"
	}
}
