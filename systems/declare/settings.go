package declare

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/internal/strictyaml"
)

// setting is something that can be chosen about a system when it is tested: --set
// reads=local.
type setting struct {
	Line    int    `yaml:",line"`
	Default text   `yaml:"default"`
	Values  []text `yaml:"values"`
	Doc     text   `yaml:"doc"`
}

var (
	settingName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	// settingValue is what can stand anywhere in a declaration and be no more than a word of it.
	settingValue = regexp.MustCompile(`^[A-Za-z0-9._:/@%+=,-]*$`)
	settingUse   = regexp.MustCompile(`\{\{-?\s*\.Set\.([A-Za-z0-9_-]+)\s*-?\}\}`)
)

// fill puts the settings into the text of a declaration, wherever they stand in it: in a
// command, a URL, the environment of a driver. No line moves.
func (l *loader) fill(data []byte, all map[string]setting, chosen map[string]string) []byte {
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		values[name] = l.choose(name, all[name], chosen)
		if !bytes.Contains(data, []byte(".Set."+name)) {
			l.bad(all[name].Line, "settings: nothing says {{ .Set.%s }}", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if _, ok := all[name]; !ok {
			l.bad(0, "settings: there is no %q: %s", name, namesOf(all))
		}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			continue
		}
		lines[i] = settingUse.ReplaceAllFunc(line, func(use []byte) []byte {
			name := string(settingUse.FindSubmatch(use)[1])
			value, ok := values[name]
			if !ok {
				l.bad(i+1, "settings: there is no %q: %s", name, namesOf(all))
			}
			return []byte(value)
		})
	}
	return bytes.Join(lines, nil)
}

// choose returns the value of a setting.
func (l *loader) choose(name string, s setting, chosen map[string]string) string {
	if !settingName.MatchString(name) {
		l.bad(s.Line, "settings: %q: want a name of letters, digits, _ -", name)
	}
	var values []string
	for _, v := range s.Values {
		if !settingValue.MatchString(v.Value) {
			l.bad(v.Line, "settings: %s: %q: want letters, digits and . _ : / @ %% + = , -", name, v.Value)
		}
		values = append(values, v.Value)
	}
	value, line := s.Default.Value, s.Default.Line
	if s.Default.Line == 0 && len(values) > 0 {
		value = values[0]
	}
	if v, ok := chosen[name]; ok {
		value, line = v, 0
	}
	switch {
	case len(values) > 0 && !slices.Contains(values, value):
		l.bad(line, "settings: %s=%s: there is %s", name, value, strings.Join(values, ", "))
	case !settingValue.MatchString(value):
		l.bad(line, "settings: %s=%q: want letters, digits and . _ : / @ %% + = , -", name, value)
	}
	return value
}

func namesOf(all map[string]setting) string {
	if len(all) == 0 {
		return "it has none; they are declared under the key settings"
	}
	return "there is " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// decode reads a declaration, with the settings filled in. It reports false if there is
// nothing in it that could be judged any further.
func (l *loader) decode(data []byte, chosen map[string]string) (f file, ok bool) {
	problems := strictyaml.Decode(data, &f)
	if problems.Unreadable() {
		l.problems = problems
		return f, false
	}
	if l.native == nil {
		filled := l.fill(data, f.Settings, chosen)
		if !bytes.Equal(filled, data) {
			f = file{}
			problems = strictyaml.Decode(filled, &f)
		}
	}
	l.problems = append(l.problems, problems...)
	return f, !problems.Unreadable()
}
