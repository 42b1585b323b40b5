// Package httpclient makes a client of a system that speaks HTTP out of templates:
// for every operation the request, and how its outcome is read from status, body and
// JSON of the answer. No Go is written.
//
// What an answer means is decided by conditions, in this order: unknown, fail, absent,
// ok. An answer that fits none is of unknown outcome, and so is no answer at all, except
// to a request that never left.
package httpclient

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// Config describes a client.
type Config struct {
	Line int `yaml:",line"`
	// Headers are those of all requests.
	Headers map[string]strictyaml.Text `yaml:"headers"`
	// FollowRedirects sends a request that was answered by 307 or 308, and so has not been
	// done, to where it was told.
	FollowRedirects bool `yaml:"follow_redirects"`
	// Objects has the requests by kind of object and operation.
	Objects map[string]map[string]Request `yaml:"objects"`
}

// Request is how an operation is asked for and what its answer means.
type Request struct {
	Line    int                        `yaml:",line"`
	Method  strictyaml.Text            `yaml:"method"`
	URL     strictyaml.Text            `yaml:"url"`
	Headers map[string]strictyaml.Text `yaml:"headers"`
	Body    strictyaml.Text            `yaml:"body"`
	OK      []Condition                `yaml:"ok"`
	Absent  []Condition                `yaml:"absent"`
	Fail    []Condition                `yaml:"fail"`
	Unknown []Condition                `yaml:"unknown"`
}

// Condition is what an answer has to fulfil, all of it. Of several conditions one is
// enough.
type Condition struct {
	Line int `yaml:",line"`
	// Status are numbers or classes: 200, 2xx.
	Status []strictyaml.Text `yaml:"status"`
	// JSON are paths and the values there.
	JSON map[string]any `yaml:"json"`
	// Has and Missing are paths at which something is, or is not.
	Has     []strictyaml.Text `yaml:"has"`
	Missing []strictyaml.Text `yaml:"missing"`
	// Body is a regular expression that the body matches.
	Body strictyaml.Text `yaml:"body"`
	// Value says where the result is, in a condition of ok.
	Value strictyaml.Text `yaml:"value"`
}

// Client is a description that has been found right.
type Client struct {
	headers map[string]*template.Template
	follow  bool
	// fresh: a connection for each request. On one that was used before, the transport
	// sends a request again that it takes for repeatable when the connection turns out to
	// be dead.
	fresh   bool
	objects map[string]map[history.F]*request
}

type request struct {
	method, url, body *template.Template
	headers           map[string]*template.Template
	rules             []rule
}

// meaning is what an answer can mean.
type meaning string

const (
	meansUnknown meaning = "unknown"
	meansFail    meaning = "fail"
	meansAbsent  meaning = "absent"
	meansOK      meaning = "ok"
)

type rule struct {
	means        meaning
	status       []string
	equal        []equal
	has, missing []path
	body         *regexp.Regexp
	value        *extract
}

type equal struct {
	at   path
	want history.Value
}

// Data is what the templates of a request are told.
type Data struct {
	expand.Target
	Object, F, Key string
	Process        int64
	// Value is the operation's value as JSON, Old and New those of a [old, new].
	Value, Old, New string
}

func newData(endpoint, object string, op history.Event) Data {
	d := Data{
		Target: expand.NewTarget(endpoint, ""), Object: object, F: string(op.F),
		Key: string(op.Key), Process: int64(op.Process), Value: op.Value.String(),
	}
	if op.Value.Kind() == history.KindList && op.Value.Len() == 2 {
		d.Old, d.New = op.Value.At(0).String(), op.Value.At(1).String()
	}
	return d
}

// Compile finds all mistakes of a description.
func Compile(c Config) (*Client, strictyaml.Problems) {
	k := compiler{}
	client := &Client{
		headers: k.headers(c.Headers), follow: c.FollowRedirects,
		objects: map[string]map[history.F]*request{},
	}
	if len(c.Objects) == 0 {
		k.bad(c.Line, "http has no objects: say how register, set, … are read and written")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Objects)) {
		object, ok := operation.Named(name)
		if !ok || object.Name != name {
			k.bad(lineOf(c.Objects[name]), "object %q: there is %s", name, objectNames())
			continue
		}
		client.objects[name] = map[history.F]*request{}
		for f, r := range c.Objects[name] {
			op, ok := object.Op(history.F(f))
			if !ok {
				k.bad(r.Line, "operation %q of %s: there is %s", f, name, object.Fs())
				continue
			}
			client.objects[name][op.F] = k.request(name, op, r)
			changes := operation.Changes(history.Event{F: op.F, Value: history.Int(1)})
			client.fresh = client.fresh || changes && repeatable(c, r)
		}
	}
	return client, k.problems
}

// repeatable reports whether net/http would send a request twice by itself.
func repeatable(c Config, r Request) bool {
	for _, headers := range []map[string]strictyaml.Text{c.Headers, r.Headers} {
		for name := range headers {
			if strings.HasSuffix(strings.ToLower(name), "idempotency-key") {
				return true
			}
		}
	}
	method := strings.ToUpper(r.Method.Value)
	return !slices.Contains([]string{"POST", "PUT", "DELETE", "PATCH"}, method)
}

func objectNames() string {
	var names []string
	for _, o := range operation.Objects() {
		names = append(names, o.Name)
	}
	return strings.Join(names, ", ")
}

// lineOf is the first line of some requests.
func lineOf(rs map[string]Request) int {
	line := 0
	for _, r := range rs {
		if line == 0 || r.Line < line {
			line = r.Line
		}
	}
	return line
}

// Has reports whether an operation is described.
func (c *Client) Has(object string, f history.F) bool { return c.find(object, f) != nil }

// find returns the request of an operation. A session is a register if nothing else is
// said of it.
func (c *Client) find(object string, f history.F) *request {
	o, _ := operation.Named(object)
	if r := c.objects[o.Name][f]; r != nil || o.Name != "session" {
		return r
	}
	return c.objects["register"][f]
}

type compiler struct {
	problems strictyaml.Problems
	// target: the templates are those of a question, not of an operation.
	target bool
}

func (k *compiler) bad(line int, format string, args ...any) {
	k.problems.Add(line, format, args...)
}

func (k *compiler) headers(h map[string]strictyaml.Text) map[string]*template.Template {
	out := map[string]*template.Template{}
	for name, text := range h {
		out[name] = k.template("header "+name, text)
	}
	return out
}

// template parses a template and tries it.
func (k *compiler) template(what string, text strictyaml.Text) *template.Template {
	var sample any = newData("127.0.0.1:80", "register", history.Event{
		F: "cas", Key: "k1", Value: history.Pair(1, 2),
	})
	if k.target {
		sample = expand.NewTarget("127.0.0.1:80", "n2")
	}
	t, err := expand.Parse(text.Value, true)
	if err == nil {
		_, err = expand.Execute(t, sample)
	}
	if err != nil {
		k.bad(text.Line, "%s: %v", what, err)
		return nil
	}
	return t
}

func (k *compiler) request(object string, op operation.Op, r Request) *request {
	what := object + " " + string(op.F)
	if r.Method.Value == "" {
		r.Method.Value = "GET"
		if r.Body.Value != "" || op.F != "read" {
			k.bad(r.Line, "%s has no method", what)
		}
	}
	if r.URL.Value == "" {
		k.bad(r.Line, "%s has no url", what)
	}
	out := &request{
		method: k.template("method", r.Method), url: k.url(r.URL),
		body: k.template("body", r.Body), headers: k.headers(r.Headers),
	}
	if r.OK == nil {
		r.OK = []Condition{{Line: r.Line, Status: []strictyaml.Text{{Value: "2xx"}}}}
	}
	if len(r.Absent) > 0 && op.F != "read" && op.F != "dequeue" && op.F != "ask" {
		k.bad(r.Absent[0].Line, "%s cannot find nothing: absent is for read, dequeue and ask", what)
	}
	for _, group := range []struct {
		means meaning
		list  []Condition
	}{
		{meansUnknown, r.Unknown}, {meansFail, r.Fail}, {meansAbsent, r.Absent}, {meansOK, r.OK},
	} {
		for _, c := range group.list {
			out.rules = append(out.rules, k.rule(what, group.means, op.Answers(), c))
		}
	}
	return out
}

// url is a template that makes an http URL.
func (k *compiler) url(text strictyaml.Text) *template.Template {
	t := k.template("url", text)
	if t == nil || text.Value == "" {
		return t
	}
	filled, err := expand.Execute(t, newData("127.0.0.1:80", "register", history.Event{Key: "k1"}))
	if err != nil {
		k.bad(text.Line, "url: %v", err)
		return nil
	}
	u, err := url.Parse(filled)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		k.bad(text.Line, "url becomes %q: want http://{{ .Endpoint }}/…", filled)
	}
	if !strings.Contains(text.Value, ".Endpoint") && !strings.Contains(text.Value, ".Address") {
		k.bad(text.Line, "url does not name the node: want {{ .Endpoint }} in it, or {{ .Address }}")
	}
	return t
}

func (k *compiler) rule(what string, means meaning, answers bool, c Condition) rule {
	r := rule{means: means}
	for _, s := range c.Status {
		if !statusPattern.MatchString(s.Value) {
			k.bad(s.Line, "status %q: want a number such as 404, or a class such as 2xx", s.Value)
		}
		r.status = append(r.status, s.Value)
	}
	for _, text := range slices.Sorted(maps.Keys(c.JSON)) {
		want, err := valueOf(c.JSON[text])
		if err != nil {
			k.bad(c.Line, "json %s: %v", text, err)
		}
		r.equal = append(r.equal, equal{k.path(strictyaml.Text{Value: text, Line: c.Line}), want})
	}
	for _, t := range c.Has {
		r.has = append(r.has, k.path(t))
	}
	for _, t := range c.Missing {
		r.missing = append(r.missing, k.path(t))
	}
	if c.Body.Value != "" {
		var err error
		if r.body, err = regexp.Compile(c.Body.Value); err != nil {
			k.bad(c.Body.Line, "body: %v", err)
		}
	}
	empty := len(c.Status)+len(c.JSON)+len(c.Has)+len(c.Missing) == 0 && c.Body.Value == ""
	switch {
	case empty && means == meansOK:
		r.status = []string{"2xx"}
	case empty:
		k.bad(c.Line, "%s of %s has no condition: there is status, json, has, missing, body",
			means, what)
	}
	switch {
	case c.Value.Value != "" && means != meansOK:
		k.bad(c.Value.Line, "%s of %s has a value: only ok can", means, what)
	case c.Value.Value != "":
		e, err := parseExtract(c.Value.Value)
		if err != nil {
			k.bad(c.Value.Line, "value: %v", err)
		}
		r.value = &e
	case answers && means == meansOK:
		k.bad(c.Line, "ok of %s has no value: say where the result is, as in value: $.value", what)
	}
	return r
}

var statusPattern = regexp.MustCompile(`^[1-5]([0-9][0-9]|xx)$`)

func (k *compiler) path(t strictyaml.Text) path {
	p, err := parsePath(t.Value)
	if err != nil {
		k.bad(t.Line, "path %q: %v", t.Value, err)
	}
	return p
}

// valueOf makes a value of what stands in YAML.
func valueOf(v any) (history.Value, error) {
	switch v := v.(type) {
	case nil:
		return history.Nil(), nil
	case bool:
		return history.Bool(v), nil
	case int:
		return history.Int(int64(v)), nil
	case float64:
		return history.Float(v), nil
	case string:
		return history.Str(v), nil
	default:
		return history.Nil(), fmt.Errorf("%v: want a single value", v)
	}
}

// fits reports whether a status is one of a condition's.
func fits(status int, patterns []string) bool {
	text := strconv.Itoa(status)
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		return p == text || strings.HasSuffix(p, "xx") && p[0] == text[0]
	})
}
