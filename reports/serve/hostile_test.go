package serve

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
)

// hostileRun has bad text wherever a system, a user or a directory has a say.
func hostileRun() sample {
	return sample{
		name: "a <b> \"'&;%2e\n", stamp: "<script>x", system: hostile, bug: hostile,
		workload: hostile, faults: []string{hostile}, verdict: check.Invalid, ops: 60, text: hostile,
	}
}

// TestHostile: nothing of a run becomes markup, a header or a script of the pages.
func TestHostile(t *testing.T) {
	second := hostileRun()
	second.stamp, second.unjudged = "2", true
	s := serve(t, newStore(t, hostileRun(), second))
	at := "/runs/" + url.PathEscape(second.name) + "/"
	first, running := at+url.PathEscape("<script>x")+"/", at+"2/"
	ids := url.Values{"run": {second.name + "/<script>x", second.name + "/2"}}
	for _, path := range []string{
		"/", "/?q=" + url.QueryEscape(hostile), "/?system=" + url.QueryEscape(hostile), "/trends", "/map",
		first, running, running + "live", "/compare?" + ids.Encode(), "/latest",
		first + "archive", "/?sort=" + url.QueryEscape(hostile), "/" + url.PathEscape(hostile),
		first + "files/" + url.PathEscape(hostile), first + "files/nodes/n1/node.log",
		"/api/v1/runs", "/api/v1" + strings.TrimSuffix(first, "/"), "/api/v1" + running + "live",
		"/api/v1/" + url.PathEscape(hostile),
	} {
		answer, body := s.get(path)
		if answer.StatusCode >= 500 {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
		for name, values := range answer.Header {
			if name == "Set-Cookie" || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
				t.Errorf("%s: header %s: %q", path, name, values)
			}
		}
		html := strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html")
		if lower := strings.ToLower(body); html && (strings.Contains(lower, "<img") ||
			strings.Contains(lower, "alert(1)</script") || strings.Contains(lower, "<script>") ||
			strings.Contains(lower, " style=") || strings.Contains(lower, "onerror=alert(2)>")) {
			t.Errorf("%s: it breaks out:\n%s", path, body)
		}
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %s", path, policy)
		}
	}
}

// TestReportPolicy: a report may run its own scripts, in a sandbox; what does not say which
// may run none.
func TestReportPolicy(t *testing.T) {
	dir := newStore(t, samples()[0])
	run := filepath.Join(dir, "paxos-register", "1")
	s := serve(t, dir)
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(run, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	policy := func(name string) string {
		answer, _ := s.get("/runs/paxos-register/1/files/" + name)
		if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 ||
			!strings.HasPrefix(got, "text/html") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, got)
		}
		return answer.Header.Get("Content-Security-Policy")
	}
	real := policy("report.html")
	if !strings.HasPrefix(real, "sandbox allow-scripts ") ||
		!strings.Contains(real, "script-src 'sha256-") ||
		strings.Contains(real, "allow-same-origin") {
		t.Errorf("a real report: %s", real)
	}
	for _, text := range []string{
		"<p>no policy",
		`<meta http-equiv="Content-Security-Policy" content="script-src 'unsafe-inline'">`,
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none' 'unsafe-eval'">`,
		"<meta http-equiv=\"Content-Security-Policy\" content=\"script-src x\r\ny: z\">",
		strings.Repeat(" ", 2000) +
			`<meta http-equiv="Content-Security-Policy" content="script-src 'self'">`,
	} {
		put("report.html", text)
		if got := policy("report.html"); got != scriptless {
			t.Errorf("%.80q: %s", text, got)
		}
	}
	put("counterexample-1.html", "<script>one</script><SCRIPT a=b>\ntwo</script >")
	got := policy("counterexample-1.html")
	if strings.Count(got, "'sha256-") != 2 || !strings.HasPrefix(got, "sandbox ") {
		t.Errorf("a page of Porcupine: %s", got)
	}
	put("other.html", "<script>alert(1)</script>")
	put("results.json", `{"x":"<script>"}`)
	put("bytes", "a\x00<script>")
	for name, want := range map[string]string{
		"other.html": "text/plain; charset=utf-8", "results.json": "application/json",
		"bytes": "application/octet-stream",
	} {
		answer, _ := s.get("/runs/paxos-register/1/files/" + name)
		if got := answer.Header.Get("Content-Type"); got != want ||
			answer.Header.Get("Content-Security-Policy") != filePolicy {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestTraversal: no path leads out of a run's directory, and none is waited for.
func TestTraversal(t *testing.T) {
	dir := newStore(t, samples()[0])
	run := filepath.Join(dir, "paxos-register", "1")
	const secret = "top secret"
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o644),
		os.WriteFile(filepath.Join(dir, "..", "secret"), []byte(secret), 0o644),
		os.Symlink("../../secret", filepath.Join(run, "up")),
		os.Symlink(filepath.Join(dir, "secret"), filepath.Join(run, "absolute")),
		os.Symlink("../..", filepath.Join(run, "dir")),
		syscall.Mkfifo(filepath.Join(run, "pipe"), 0o600),
		os.Symlink(dir, filepath.Join(dir, "loop")),
	); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir)
	at := "/runs/paxos-register/1/files/"
	for _, path := range []string{
		at + "../../secret", at + "..%2f..%2fsecret", at + "%2e%2e/%2e%2e/secret",
		at + "nodes/../../../secret", at + "/etc/passwd", at + "%2fetc%2fpasswd", at + "up",
		at + "absolute", at + "dir/secret", at + "pipe", at + "nodes", at + "..%5c..%5csecret",
		at + "up%00", "/runs/../secret/", "/runs/paxos-register/..%2f../files/secret",
		"/runs/paxos-register/../files/secret", "/runs/%2e%2e/%2e%2e/files/secret",
		"/runs/paxos-register/.%2e/files/secret", "/runs/paxos-register/1%2f..%2f../files/secret",
		"/runs/loop/paxos-register/files/1/test.json", "/runs/../../secret", "/assets/..%2fserve.go",
		"/api/v1/runs/..%2f../secret", "/compare?a=../secret&b=paxos-register/..",
		"/runs/paxos-register/%2e%2e/archive",
	} {
		answer, body := s.get(path)
		if answer.StatusCode == 200 || answer.StatusCode >= 500 || strings.Contains(body, secret) ||
			strings.Contains(body, "root:") {
			t.Errorf("%s: %d\n%.300s", path, answer.StatusCode, body)
		}
	}
}

// TestHosts: only addresses, localhost and what was allowed.
func TestHosts(t *testing.T) {
	s := serve(t, newStore(t, samples()[0]))
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST": 200, "127.0.0.1:99": 200,
		"[::1]:8080": 200, "::1": 200, "10.1.2.3": 200, "ci.example.org": 200,
		"CI.example.org:8080": 200, "evil.example.org": 421, "localhost.evil.org": 421,
		"127.0.0.1.evil.org:80": 421, "x.localhost": 200,
	} {
		answer, body := s.ask("GET", "/api/v1/runs", host)
		if answer.StatusCode != want || want != 200 && strings.Contains(body, "paxos") {
			t.Errorf("%s: %d %s", host, answer.StatusCode, body)
		}
	}
}

// TestStreamsAreBounded: watching takes a place, and gives it back.
func TestStreamsAreBounded(t *testing.T) {
	s := serve(t, newStore(t, samples()...))
	var open []*http.Response
	for range streamsMost {
		answer, err := http.Get(s.URL + "/api/v1/runs/paxos-register/5/events")
		if err != nil || answer.StatusCode != 200 {
			t.Fatalf("%v %v", answer, err)
		}
		open = append(open, answer)
	}
	path := "/api/v1/runs/paxos-register/5/events"
	if answer, _ := s.get(path); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", answer.StatusCode)
	}
	for _, a := range open {
		_ = a.Body.Close()
	}
	for status := 0; status != 200; { // until the server noticed
		answer, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		status = answer.StatusCode
		_ = answer.Body.Close()
	}
}
