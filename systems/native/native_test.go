package native

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func system() System {
	return System{Name: "kv", Settings: []Setting{
		{Name: "reads", Default: "quorum", Values: []string{"quorum", "local"}},
		{Name: "bin", Default: "kv-server"},
	}}
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		chosen map[string]string
		want   Values
		err    []string
	}{
		{"defaults", nil, Values{"reads": "quorum", "bin": "kv-server"}, nil},
		{
			"chosen", map[string]string{"reads": "local", "bin": "/opt/kv"},
			Values{"reads": "local", "bin": "/opt/kv"}, nil,
		},
		{
			"all mistakes at once", map[string]string{"reads": "fast", "size": "1"}, nil,
			[]string{"reads=fast: there is quorum, local", `no setting "size": there is reads, bin`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := system().Choose(tt.chosen)
			if (err != nil) != (tt.err != nil) || err != nil && !errors.Is(err, ErrSettings) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			for _, part := range tt.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			for name, want := range tt.want {
				if got[name] != want {
					t.Errorf("%s = %q, want %q", name, got[name], want)
				}
			}
		})
	}
}

func TestFill(t *testing.T) {
	text := `start: [[ .bin ]] --name {{ .Name }}[[ if eq .reads "local" ]] --local[[ end ]]`
	got, err := Fill(text, Values{"bin": "kv", "reads": "local"})
	if want := "start: kv --name {{ .Name }} --local"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := Fill("[[ .size ]]", Values{}); err == nil {
		t.Error("a setting that does not exist was filled in")
	}
}

// TestPlaced: a path is seen from where the checker runs, a name from where the node does.
func TestPlaced(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := system()
	s.Settings[1].Program = true
	for bin, want := range map[string]string{
		"./kv": filepath.Join(dir, "kv"), "kv": "kv", "/opt/kv": "/opt/kv",
	} {
		got, err := s.Placed(map[string]string{"bin": bin, "reads": "a/b"})
		if err != nil || got["bin"] != want || got["reads"] != "a/b" {
			t.Errorf("%s: %v, %v; want %s", bin, got, err, want)
		}
	}
	if got, err := s.Placed(nil); err != nil || len(got) != 0 {
		t.Errorf("nothing chosen: %v, %v", got, err)
	}
}
