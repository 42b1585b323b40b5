package httpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// path is a place in JSON: `$`, `$.kvs[0].value`, `$["odd name"]`. -1 counts from the end.
type path []part

// part is a name or an index.
type part struct {
	name  string
	index int
	named bool
}

var pathPart = regexp.MustCompile(`^(?:\.([^.\[\]\s"]+)|\[(-?\d+)\]|\["([^"]*)"\])`)

func parsePath(text string) (path, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "$")
	if !ok {
		return nil, errors.New(`want $, then names and indexes: $.kvs[0].value`)
	}
	p := path{}
	for rest != "" {
		m := pathPart.FindStringSubmatch(rest)
		switch {
		case m == nil:
			return nil, fmt.Errorf("%q is no name (.name) and no index ([0])", rest)
		case m[2] != "":
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, fmt.Errorf("index %s is too great", m[2])
			}
			p = append(p, part{index: n})
		default:
			p = append(p, part{name: m[1] + m[3], named: true})
		}
		rest = rest[len(m[0]):]
	}
	return p, nil
}

// find returns what is there.
func (p path) find(v history.Value) (history.Value, bool) {
	for _, s := range p {
		ok := false
		if s.named {
			v, ok = field(v, s.name)
		} else {
			v, ok = element(v, s.index)
		}
		if !ok {
			return history.Nil(), false
		}
	}
	return v, true
}

func field(v history.Value, name string) (history.Value, bool) {
	if v.Kind() != history.KindMap {
		return history.Nil(), false
	}
	for i := range v.Len() {
		if v.FieldName(i) == name {
			return v.At(i), true
		}
	}
	return history.Nil(), false
}

func element(v history.Value, i int) (history.Value, bool) {
	if v.Kind() != history.KindList {
		return history.Nil(), false
	}
	if i < 0 {
		i += v.Len()
	}
	if i < 0 || i >= v.Len() {
		return history.Nil(), false
	}
	return v.At(i), true
}

// extract is where a result is and how it is written there: `$.kvs[0].value | base64 |
// json`, or `body | json`.
type extract struct {
	text    string
	raw     bool // the body as it is
	at      path
	filters []string
}

func parseExtract(text string) (extract, error) {
	e := extract{text: text}
	words := strings.Split(text, "|")
	first := strings.TrimSpace(words[0])
	var err error
	if first == "body" {
		e.raw = true
	} else if e.at, err = parsePath(first); err != nil {
		return e, err
	}
	for _, w := range words[1:] {
		w = strings.TrimSpace(w)
		if !slices.Contains([]string{"base64", "json", "lines"}, w) {
			return e, fmt.Errorf("%q: there is base64, json and lines", w)
		}
		e.filters = append(e.filters, w)
	}
	return e, nil
}

// from takes the result out of an answer.
func (e extract) from(a answer) (history.Value, error) {
	v := history.Str(strings.TrimSpace(string(a.body)))
	if !e.raw {
		if a.noJSON != nil {
			return v, fmt.Errorf("%s: the body is no JSON: %w", e.text, a.noJSON)
		}
		var ok bool
		if v, ok = e.at.find(a.json); !ok {
			return v, fmt.Errorf("%s: nothing is there", e.text)
		}
	}
	for _, f := range e.filters {
		if v.IsNil() {
			return v, nil
		}
		s, ok := v.AsString()
		if !ok {
			return v, fmt.Errorf("%s: %s takes a string, there is a %s", e.text, f, v.Kind())
		}
		var err error
		if v, err = filtered(f, s); err != nil {
			return v, fmt.Errorf("%s: %w", e.text, err)
		}
	}
	return v, nil
}

func filtered(filter, s string) (history.Value, error) {
	switch filter {
	case "base64":
		b, err := base64.StdEncoding.DecodeString(s)
		return history.Str(string(b)), err
	case "lines":
		var list []history.Value
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" {
				v, err := history.ParseValue([]byte(line))
				if err != nil {
					return v, err
				}
				list = append(list, v)
			}
		}
		return history.List(list...), nil
	default:
		return history.ParseValue([]byte(s))
	}
}
