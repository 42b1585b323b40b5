package declare

import (
	"fmt"
	"strings"
	"testing"
)

const chosen = `
name: kv
settings:
  reads: {values: [stale, quorum], doc: how a read is done}
  sync: {default: 10ms}
start: exec kv --sync {{ .Set.sync }} --listen {{ .Bind }}  # {{ .Set.sync }} is a time
claim:
  text: linearizable if reads are {{.Set.reads}}
  workloads: {register: linearizable}
client:
  driver: {command: [./driver, "--reads={{ .Set.reads }}"], env: {SYNC: "{{ .Set.sync }}"}}
`

// TestSettings: what is chosen stands wherever the declaration says so, the rest has its
// default: the one that is named, or the first of the values.
func TestSettings(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		want     string
	}{
		{nil, "linearizable if reads are stale ./driver --reads=stale SYNC=10ms --sync 10ms"},
		{map[string]string{"reads": "quorum", "sync": "0"},
			"linearizable if reads are quorum ./driver --reads=quorum SYNC=0 --sync 0"},
	} {
		d, err := Load("kv.yaml", []byte(chosen), c.settings)
		if err != nil {
			t.Errorf("%v: %v", c.settings, err)
			continue
		}
		start, _, _ := strings.Cut(d.Start, " --listen")
		got := fmt.Sprint(d.Claim.Text, " ", strings.Join(d.Driver.Argv, " "), " ", d.Driver.Env[0], " ",
			strings.TrimPrefix(start, "exec kv "))
		if got != c.want {
			t.Errorf("%v: %s", c.settings, got)
		}
	}
}

// TestSettingMistakes: a setting that there is not, a value that it cannot have, one that
// would be more than a word, and a setting that changes nothing.
func TestSettingMistakes(t *testing.T) {
	for _, c := range []struct {
		settings  map[string]string
		old, new_ string
		want      string
	}{
		{map[string]string{"reads": "fast"}, "", "",
			"kv.yaml: settings: reads=fast: there is stale, quorum"},
		{map[string]string{"raeds": "stale"}, "", "",
			`kv.yaml: settings: there is no "raeds": there is reads, sync`},
		{map[string]string{"sync": "1; rm -rf /"}, "", "", `kv.yaml: settings: sync="1; rm -rf /": want`},
		{nil, "default: 10ms", `default: "a b"`, `kv.yaml:5: settings: sync="a b": want letters`},
		{nil, "--sync {{ .Set.sync }}", "--sync {{ .Set.snyc }}",
			`kv.yaml:6: settings: there is no "snyc": there is reads, sync`},
		{nil, "  sync:", "  unused: {}\n  sync:", "kv.yaml:5: settings: nothing says {{ .Set.unused }}"},
		{nil, "--sync {{ .Set.sync }}", `--sync {{ if .Set.sync }}1{{ end }}`,
			"kv.yaml:6: start: can't evaluate field Set"},
	} {
		_, err := Load("kv.yaml", []byte(strings.Replace(chosen, c.old, c.new_, 1)), c.settings)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestOneMistake: what follows from a mistake is none.
func TestOneMistake(t *testing.T) {
	const rest = "\nclaim: {text: a, workloads: {register: linearizable}}\n" +
		"client: {driver: {command: [date]}}\n"
	for text, want := range map[string]string{
		"nodes: {count: three}": `kv.yaml:2: count is "three": want a whole number`,
		`start: echo "no: such"`: "kv.yaml:2: this is no YAML: mapping values are not allowed in " +
			`this context (a text with ": " in it needs quotes, or stands below its key after ">-")`,
	} {
		all := "name: kv\n" + text + rest
		if _, err := Load("kv.yaml", []byte(all), nil); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
