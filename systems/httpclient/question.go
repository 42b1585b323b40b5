package httpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"text/template"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/expand"
)

// Question is something that the harness itself asks a node, or tells it: a request over
// HTTP, or a command of this machine whose output is the body of the answer.
type Question struct {
	Line    int                        `yaml:",line"`
	Method  strictyaml.Text            `yaml:"method"`
	URL     strictyaml.Text            `yaml:"url"`
	Headers map[string]strictyaml.Text `yaml:"headers"`
	Body    strictyaml.Text            `yaml:"body"`
	Run     strictyaml.Text            `yaml:"run"`
	// Primary and Members say how a status shows who leads and who belongs to it; OK and
	// Fail what the answer to an order means, or to what prepares a system.
	Primary []Condition     `yaml:"primary"`
	Members strictyaml.Text `yaml:"members"`
	OK      []Condition     `yaml:"ok"`
	Fail    []Condition     `yaml:"fail"`
}

// Asker asks a question that has been found right.
type Asker struct {
	method, url, body, run *template.Template
	headers                map[string]*template.Template
	primary, ok, fail      []rule
	members                *extract
	// dir is where commands run.
	dir string
}

// CompileQuestion finds all mistakes of a question; what names it. Commands run in dir.
func CompileQuestion(q Question, what, dir string) (*Asker, strictyaml.Problems) {
	k := compiler{target: true}
	a := &Asker{
		method: k.template("method", q.Method), url: k.template("url", q.URL),
		body: k.template("body", q.Body), run: k.template("run", q.Run), headers: k.headers(q.Headers),
		dir: dir,
	}
	if (q.URL.Value == "") == (q.Run.Value == "") {
		k.bad(q.Line, "%s needs a url to ask or a command to run, one of the two", what)
	}
	for _, c := range q.Primary {
		a.primary = append(a.primary, k.rule(what, "primary", false, c))
	}
	if q.Members.Value != "" {
		e, err := parseExtract(q.Members.Value)
		if err != nil {
			k.bad(q.Members.Line, "members: %v", err)
		}
		a.members = &e
	}
	if q.OK == nil {
		q.OK = []Condition{{Status: []strictyaml.Text{{Value: "2xx"}}}}
	}
	for _, c := range q.OK {
		a.ok = append(a.ok, k.rule(what, meansOK, false, c))
	}
	for _, c := range q.Fail {
		a.fail = append(a.fail, k.rule(what, meansFail, false, c))
	}
	return a, k.problems
}

// HasPrimary reports whether the question tells who leads, HasMembers who belongs to it.
func (a *Asker) HasPrimary() bool { return len(a.primary) > 0 }

// HasMembers reports whether the answer lists the members.
func (a *Asker) HasMembers() bool { return a.members != nil }

// Status asks a node and returns whether it leads, and whom it takes for members.
func (a *Asker) Status(ctx context.Context, t expand.Target) (bool, []string, error) {
	got, err := a.ask(ctx, t)
	if err != nil {
		return false, nil, err
	}
	if !anyFits(a.ok, got) {
		return false, nil, errors.New(got.String())
	}
	var members []string
	if a.members != nil {
		list, err := a.members.from(got)
		if err != nil {
			return false, nil, fmt.Errorf("members: %w", err)
		}
		for i := range list.Len() {
			name, ok := list.At(i).AsString()
			if !ok {
				return false, nil, fmt.Errorf("members: %s is no list of names", list)
			}
			members = append(members, name)
		}
	}
	return anyFits(a.primary, got), members, nil
}

// Order tells a node to do something. Its error is definite if the answer says that
// nothing was done.
func (a *Asker) Order(ctx context.Context, t expand.Target) error {
	got, err := a.ask(ctx, t)
	switch {
	case err != nil:
		return err
	case anyFits(a.fail, got):
		return history.Definite(errors.New(got.String()))
	case anyFits(a.ok, got):
		return nil
	default:
		return fmt.Errorf("no condition fits: %s", got)
	}
}

func anyFits(rules []rule, a answer) bool {
	for _, r := range rules {
		if r.fits(a) {
			return true
		}
	}
	return false
}

func (a *Asker) ask(ctx context.Context, t expand.Target) (answer, error) {
	if a.url == nil {
		return answer{}, errors.New("nothing to ask")
	}
	run, err := expand.Execute(a.run, t)
	if err != nil {
		return answer{}, err
	}
	if run != "" {
		return command(ctx, a.dir, run)
	}
	return a.request(ctx, t)
}

func (a *Asker) request(ctx context.Context, t expand.Target) (answer, error) {
	method, err1 := expand.Execute(a.method, t)
	url, err2 := expand.Execute(a.url, t)
	body, err3 := expand.Execute(a.body, t)
	if err := errors.Join(err1, err2, err3); err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	req.GetBody = nil
	for name, h := range a.headers {
		text, err := expand.Execute(h, t)
		if err != nil {
			return answer{}, err
		}
		req.Header.Set(name, text)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return read(resp)
}

// command runs a command in a shell. Its output is the body; a status of 0 is like HTTP's
// 200, any other like 500.
func command(ctx context.Context, dir, text string) (answer, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var out limited
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	err := cmd.Run()
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("%s: %w", text, ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return answer{}, fmt.Errorf("%s: %w", text, err)
	}
	a := answer{status: http.StatusOK, body: out.b}
	if exit != nil {
		a.status = http.StatusInternalServerError
	}
	a.json, a.noJSON = history.ParseValue(a.body)
	return a, nil
}

// limited keeps as much as an answer may have.
type limited struct{ b []byte }

func (l *limited) Write(b []byte) (int, error) {
	l.b = append(l.b, b[:min(len(b), answerBytesMax-len(l.b))]...)
	return len(b), nil
}
