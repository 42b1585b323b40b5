package run

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// registers is a store that is linearizable, or forgets every tenth write.
type registers struct {
	forgets bool

	mu     sync.Mutex
	data   map[string]json.Number
	writes int
}

func (s *registers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		if v, ok := s.data[r.URL.Path]; ok {
			fmt.Fprint(w, v)
			return
		}
		http.NotFound(w, r)
		return
	}
	var v json.Number
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if s.writes++; !s.forgets || s.writes%10 != 0 {
		s.data[r.URL.Path] = v
	}
}

const registersYAML = `
name: registers
claim: {text: linearizable registers, workloads: {register: linearizable}}
client:
  http:
    objects:
      register:
        read:
          url: http://{{ .Endpoint }}/{{ .Key }}
          ok: {value: body | json}
          absent: {status: 404}
        write: {method: PUT, url: "http://{{ .Endpoint }}/{{ .Key }}", body: "{{ .Value }}"}
`

// declaredConfig is a short test of a declared system whose nodes run already.
func declaredConfig(t *testing.T, text string, endpoints ...string) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := Default()
	cfg.Store, cfg.System = filepath.Join(dir, "store"), filepath.Join(dir, "my.yaml")
	cfg.Workload, cfg.Endpoints = "", endpoints
	cfg.Rate, cfg.Concurrency, cfg.TimeLimit = 200, 2, time.Second
	if err := os.WriteFile(cfg.System, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cfg.ReadSystem(true); err != nil {
		t.Fatal(err)
	}
	if err := cfg.ChooseWorkload(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.CountHosts(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestExistingNodes drives nodes that run already: workload and verdict, in both
// directions, and no fault. The run can be judged again when its declaration is gone.
func TestExistingNodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forgets bool
		want    check.Verdict
	}{"right": {false, check.Valid}, "wrong": {true, check.Invalid}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(&registers{forgets: c.forgets, data: map[string]json.Number{}})
			defer server.Close()
			at := server.Listener.Addr().String()
			cfg := declaredConfig(t, registersYAML, at, "second="+at)
			out, err := Run(t.Context(), cfg, testEnv(t))
			if err != nil {
				t.Fatal(err)
			}
			if out.Result.Verdict != c.want {
				t.Errorf("%s: %s", out.Result.Verdict, out.Result.Reason)
			}
			if got := strings.Join(out.Test.Nodes, " "); got != "n1 second" {
				t.Errorf("nodes %s", got)
			}
			if !strings.Contains(strings.Join(out.Test.LeftOut, ";"), "did not start these nodes") {
				t.Errorf("left out: %q", out.Test.LeftOut)
			}
			// What an earlier run has left there is nothing that this one should have written.
			second, err := Run(t.Context(), cfg, testEnv(t))
			if err != nil || second.Result.Verdict != c.want {
				t.Errorf("the second run: %+v, %v", second.Result, err)
			}
			if err := os.Remove(cfg.System); err != nil {
				t.Fatal(err)
			}
			again, err := Check(t.Context(), out.Dir, CheckLimits{Time: time.Minute})
			if err != nil || again.Result.Verdict != c.want {
				t.Errorf("judged again: %+v, %v", again.Result, err)
			}
		})
	}
}

// TestSetup: a system is prepared before clients come, by whichever node does it; and if none
// does, that is said in its own words.
func TestSetup(t *testing.T) {
	t.Parallel()
	const setup = "setup: {method: POST, url: \"http://{{ .Endpoint }}/tables\", ok: {status: 201}}\n"
	for name, c := range map[string]struct {
		refusals int32
		limit    time.Duration
		want     string
	}{
		"at the second node": {1, 30 * time.Second, ""},
		"never":              {1 << 30, time.Second, "prepare took longer than 1s: setup by 127"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &registers{data: map[string]json.Number{}}
			var asked atomic.Int32
			var ready atomic.Bool
			answer := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/tables" && asked.Add(1) <= c.refusals:
					http.Error(w, "no leader yet", http.StatusServiceUnavailable)
				case r.URL.Path == "/tables":
					ready.Store(true)
					w.WriteHeader(http.StatusCreated)
				case !ready.Load():
					t.Error("a client came before the tables were there")
					w.WriteHeader(http.StatusInternalServerError)
				default:
					store.ServeHTTP(w, r)
				}
			}
			server := httptest.NewServer(http.HandlerFunc(answer))
			defer server.Close()
			at := server.Listener.Addr().String()
			cfg := declaredConfig(t, setup+registersYAML, at, "second="+at)
			cfg.SetupTime = c.limit
			out, err := Run(t.Context(), cfg, testEnv(t))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					!strings.Contains(err.Error(), "no leader yet") {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if err != nil || out.Result.Verdict != check.Valid || asked.Load() != 2 {
				t.Errorf("%+v, %v; asked %d times", out.Result, err, asked.Load())
			}
		})
	}
}

// TestProgressOfExistingNodes: somebody else may stop nodes that run already, so nothing
// that depends on their health is a proof.
func TestProgressOfExistingNodes(t *testing.T) {
	cfg := declaredConfig(t, registersYAML, "127.0.0.1:1", "127.0.0.1:2")
	if !cfg.workloadOptions().Foreign {
		t.Error("nodes that run already count as the checker's own")
	}
	cfg.Cluster, cfg.Endpoints = "local", nil
	if cfg.workloadOptions().Foreign {
		t.Error("nodes that the checker starts count as somebody else's")
	}
}

// TestExistingRefuses: faults are refused with a sentence, and so is what makes no sense.
func TestExistingRefuses(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"": func(*Config) {},
		"kill: the checker did not start these nodes and has no way to": func(c *Config) {
			c.Faults = []string{"kill"}
		},
		"registers does not say how a node is started": func(c *Config) {
			c.Endpoints, c.Cluster = nil, "local"
		},
		`node "nowhere": address nowhere: missing port`: func(c *Config) {
			c.Endpoints[1] = "nowhere"
		},
		`node "n1=h:1": the name "n1" is taken`: func(c *Config) { c.Endpoints[1] = "n1=h:1" },
		"name the nodes: --nodes host:port":     func(c *Config) { c.Endpoints = nil },
	} {
		cfg := declaredConfig(t, registersYAML, "127.0.0.1:1", "127.0.0.1:2")
		change(&cfg)
		err := cfg.Validate()
		if want == "" && err == nil {
			continue
		}
		if want == "" || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// diskDriver is a driver of a register in files, which is linearizable. After a few
// operations it does what MODE says.
const diskDriver = `
n=0
while read -r line; do
  case $line in *'"type":"hello"'*) echo '{"type":"hello","version":1}'; continue ;; esac
  id=${line#*'"id":'}; id=${id%%,*}
  key=${line#*'"key":"'}; key=${key%%'"'*}
  value=${line#*'"value":'}; value=${value%%,*}
  n=$((n+1))
  if [ "$n" -gt 12 ] && [ "$((n % 5))" = 0 ]; then
    case $MODE in
    crash) echo 'out of cheese' >&2; exit 3 ;;
    hang) sleep 60 ;;
    garbage) echo 'DEBUG: talking to the node' ;;
    id) id=$((id+1)) ;;
    huge) head -c 17000000 /dev/zero | tr '\0' x; echo ;;
    esac
  fi
  case $line in
  *'"f":"write"'*)
    echo "$value" >"$key.$$" && mv "$key.$$" "$key"
    echo '{"type":"ok","id":'"$id"'}' ;;
  *)
    v=null
    if [ -e "$key" ]; then read -r v <"$key"; fi
    if [ "$MODE" = text ] && [ "$v" != null ]; then v='"'$v'"'; fi
    echo '{"type":"ok","id":'"$id"',"value":'"$v"'}' ;;
  esac
done
`

// TestBrokenDrivers: whatever a driver does wrong, the verdict is honest. What only keeps
// operations from being known leaves a verdict about the others; what cannot be an answer
// makes everything unknown that the driver has said.
func TestBrokenDrivers(t *testing.T) {
	t.Parallel()
	for mode, c := range map[string]struct {
		want check.Verdict
		text string // in the reason, or in the errors of operations
	}{
		"good":    {check.Valid, ""},
		"crash":   {check.Valid, "the driver ended (exit status 3): out of cheese"},
		"hang":    {check.Valid, "the driver did not answer in time"},
		"garbage": {check.Unknown, `the client cannot be trusted: it answered what was no answer`},
		"id":      {check.Unknown, "the driver answered operation"},
		"huge":    {check.Unknown, "a line of more than 16777216 bytes"},
		"text":    {check.Unknown, "want an integer, got a string"},
	} {
		t.Run(mode, func(t *testing.T) {
			if mode != "good" && mode != "garbage" {
				longtest.Only(t)
			}
			t.Parallel()
			cfg := declaredConfig(t, `
name: files
claim: {text: linearizable registers, workloads: {register: linearizable}}
client:
  driver: {command: [sh, driver.sh], env: {MODE: `+mode+`}}
`, "127.0.0.1:1")
			path := filepath.Join(filepath.Dir(cfg.System), "driver.sh")
			if err := os.WriteFile(path, []byte(diskDriver), 0o644); err != nil {
				t.Fatal(err)
			}
			if mode != "hang" {
				cfg.OpTimeout = 20 * time.Second // a slow machine is no driver that hangs
			}
			out, err := Run(t.Context(), cfg, testEnv(t))
			if err != nil {
				t.Fatal(err)
			}
			if out.Result.Verdict != c.want {
				t.Errorf("%s: %s", out.Result.Verdict, out.Result.Reason)
			}
			history, err := os.ReadFile(filepath.Join(out.Dir, historyFile))
			if err != nil {
				t.Fatal(err)
			}
			if all := out.Result.Reason + string(history); !strings.Contains(all, c.text) {
				t.Errorf("%q is neither in the history nor in %q", c.text, out.Result.Reason)
			}
			silent := slices.ContainsFunc(out.Result.Parts, func(r check.Result) bool {
				return r.Name == "client" && strings.Contains(r.Reason, "first: ") &&
					strings.Contains(r.Reason, c.text)
			})
			if want := mode == "crash" || mode == "hang"; silent != want {
				t.Errorf("the result tells of answers that are owed: %v, want %v", silent, want)
			}
			if c.want == check.Unknown && out.Test.Broken == "" {
				t.Error("the test does not say that its client is broken")
			}
		})
	}
}

// TestNoDriver: a driver that cannot be started, or does not speak the protocol, ends the
// test at once, with what is wrong.
func TestNoDriver(t *testing.T) {
	for command, want := range map[string]string{
		"[./none]": "driver: stat ", "[echo, hi]": `the driver wrote "hi", which is no answer`,
	} {
		cfg := declaredConfig(t, `
name: files
claim: {text: linearizable registers, workloads: {register: linearizable}}
client: {driver: {command: `+command+`}}
`, "127.0.0.1:1")
		out, err := Run(t.Context(), cfg, testEnv(t))
		if err == nil || !strings.Contains(err.Error(), want) || out.Result != nil {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}
