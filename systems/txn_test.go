package systems

import (
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// client makes a client of a protocol with everything, whose transactions are
// interactive or not.
func client(
	t *testing.T, interactive bool, pause time.Duration, object string, addrs ...string,
) workload.Client {
	t.Helper()
	all := []history.F{"read", "write", "append", "acquire", "release", "txn", "enqueue"}
	r := &reference{opts: Options{TxnPause: pause}, protocol: Protocol{
		Name: "all", Interactive: interactive, Objects: map[string][]history.F{
			"register": all, "list": all, "lock": all, "fenced": all, "txn": all,
		},
	}}
	c, err := r.Open(t.Context(), addrs, object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func value(t *testing.T, text string) history.Value {
	t.Helper()
	v, err := history.ParseValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ok(text string) reply { return answers(200, `{"type":"ok","value":`+text+`}`) }

func refusal(code string) reply { return answers(200, `{"type":"fail","code":"`+code+`"}`) }

// lines shows requests without what all have in common.
func lines(text string) string {
	return strings.NewReplacer(`"object":`, "", `"f":`, "", `"key":`, "", `"value":`, "",
		`"`, "").Replace(text)
}

// TestTransactions sends transactions as one request: those that only read without a
// session, and with no outcome but ok and fail.
func TestTransactions(t *testing.T) {
	const both = `[["r","x",null],["w","y",2]]`
	for _, c := range []struct {
		name, txn string
		reply     reply
		want      string
	}{
		{"ok", both, ok(`[["r","x",1],["w","y",2]]`), `[["r","x",1],["w","y",2]]`},
		{"no answer but ok", `[["w","y",2]]`, answers(200, okNull), `[["w","y",2]]`},
		{"fail", both, answers(200, fail), "fail"},
		{"info", both, answers(200, info), "info"},
		{"closed", both, bytesOnly(""), "info"},
		{"read", `[["r","x",null]]`, ok(`[["r","x",1]]`), `[["r","x",1]]`},
		{"read info", `[["r","x",null]]`, answers(200, info), "fail"},
		{"read closed", `[["r","x",null]]`, bytesOnly(""), "fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, answers(200, session), c.reply)
			want := `{"object":"session","f":"open"}` + "\n" +
				`{"object":"txn","f":"run","value":` + c.txn + `,"session":7,"seq":1}`
			if strings.HasPrefix(c.name, "read") {
				node = serve(t, c.reply)
				want = `{"object":"txn","f":"run","value":` + c.txn + `}`
			}
			out, err := client(t, false, 0, "txn", node.addr).Invoke(t.Context(),
				history.Event{F: "txn", Key: "g", Value: value(t, c.txn)})
			got := out.Value.String()
			if err != nil {
				got = outcome(err)
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
			if got := node.got(t); got != want {
				t.Errorf("requests:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestInteractive holds the rule of interactive transactions: until commit has been
// sent everything that goes wrong is a failure, and then the answer to it decides.
func TestInteractive(t *testing.T) {
	const txn = `[["r","x",null],["add","y",-2]]`
	begin, x, y, put := ok("5"), ok("1"), ok("9"), answers(200, okNull)
	const sent = `
{register,read,x,txn:5}
{register,read,y,txn:5}
{register,write,y,7,txn:5}
{txn,commit,txn:5}`
	for _, c := range []struct {
		name    string
		replies []reply
		want    string
		sent    string
	}{
		{"ok", []reply{begin, x, y, put, put}, `[["r","x",1],["add","y",-2]]`, sent},
		{"aborted at commit", []reply{begin, x, y, put, refusal("aborted")}, "fail", sent},
		{"conflict", []reply{begin, x, y, put, refusal("conflict")}, "fail", sent},
		{"overloaded at commit", []reply{begin, x, y, put, refusal("overloaded")}, "fail", sent},
		{"commit unknown", []reply{begin, x, y, put, answers(200, info)}, "info", sent},
		{"commit unanswered", []reply{begin, x, y, put, bytesOnly("")}, "info", sent},
		{"commit answered badly", []reply{begin, x, y, put, answers(500, okNull)}, "info", sent},
		{"no begin", []reply{answers(200, fail)}, "fail", ""},
		{"begin unknown", []reply{bytesOnly("")}, "fail", ""},
		{"begin without id", []reply{answers(200, okNull)}, "fail", ""},
		{"aborted in its midst", []reply{begin, x, refusal("aborted")}, "fail",
			"\n{register,read,x,txn:5}\n{register,read,y,txn:5}\n{txn,abort,txn:5}"},
		{"step unknown", []reply{begin, answers(200, info), put}, "fail",
			"\n{register,read,x,txn:5}\n{txn,abort,txn:5}"},
		{"write unanswered", []reply{begin, x, y, bytesOnly(""), put}, "fail",
			strings.Replace(sent, "commit", "abort", 1)},
		{"overdraft", []reply{begin, x, ok("1"), put}, "fail",
			"\n{register,read,x,txn:5}\n{register,read,y,txn:5}\n{txn,abort,txn:5}"},
		{"no number", []reply{begin, x, ok(`"a"`), put}, "fail",
			"\n{register,read,x,txn:5}\n{register,read,y,txn:5}\n{txn,abort,txn:5}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, c.replies...)
			out, err := client(t, true, 0, "txn", node.addr).Invoke(t.Context(),
				history.Event{F: "txn", Key: "g", Value: value(t, txn)})
			got := out.Value.String()
			if err != nil {
				got = outcome(err)
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
			if got := lines(node.got(t)); got != "{txn,begin}"+c.sent {
				t.Errorf("requests:\n%s\nwant:\n{txn,begin}%s", got, c.sent)
			}
		})
	}
}

// TestInteractiveReads: a transaction that only reads has no effect, whatever became
// of its commit; and lists are read as lists.
func TestInteractiveReads(t *testing.T) {
	node := serve(t, ok("5"), ok("[1,2]"), answers(200, info))
	_, err := client(t, true, 0, "txn-list", node.addr).Invoke(t.Context(),
		history.Event{F: "txn", Value: value(t, `[["r","x",null]]`)})
	if outcome(err) != "fail" {
		t.Errorf("%s (%v), want fail", outcome(err), err)
	}
	if got, want := lines(node.got(t)), "{txn,begin}\n{list,read,x,txn:5}\n{txn,commit,txn:5}"; got !=
		want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}

// TestWithoutRests: a transaction that would rest does not, where that is not wanted.
func TestWithoutRests(t *testing.T) {
	var op history.Event
	for i := int64(0); (&interactiveClient{pause: time.Hour}).restsBefore(op, 1) != 0; i++ {
		op = history.Event{F: "txn", Value: history.Steps(
			history.Step{F: history.StepWrite, Key: "x", Value: history.Int(i)})}
	}
	node := serve(t, ok("5"), answers(200, okNull))
	slow := client(t, true, time.Hour, "txn", node.addr)
	ctx, cancel := contextWithin(t, time.Minute)
	defer cancel()
	if _, err := slow.Invoke(WithoutRests(ctx), op); err != nil {
		t.Error(err)
	}
	if !strings.Contains(node.got(t), "commit") {
		t.Error("it was not committed")
	}
}

// TestTxnPause: about one transaction in four rests in its midst, always the same
// ones, and those that rest too long were never committed.
func TestTxnPause(t *testing.T) {
	rests := 0
	c := &interactiveClient{pause: time.Hour}
	for i := range 400 {
		op := history.Event{F: "txn", Value: history.Steps(
			history.Step{F: history.StepWrite, Key: "x", Value: history.Int(int64(i))})}
		at := c.restsBefore(op, 3)
		if at != c.restsBefore(op, 3) || at >= 3 {
			t.Fatalf("transaction %d rests before step %d, and then before another", i, at)
		}
		if at < 0 {
			continue
		}
		if rests++; rests > 1 {
			continue
		}
		node := serve(t, ok("5"), answers(200, okNull))
		slow := client(t, true, time.Hour, "txn", node.addr)
		ctx, cancel := contextWithin(t, 50*time.Millisecond)
		_, err := slow.Invoke(ctx, op)
		cancel()
		if outcome(err) != "fail" && slow.(*interactiveClient).restsBefore(op, 1) == 0 {
			t.Errorf("%s (%v), want fail", outcome(err), err)
		}
		if strings.Contains(node.got(t), "commit") {
			t.Error("it was committed after the end of its time")
		}
	}
	if rests < 60 || rests > 140 {
		t.Errorf("%d of 400 transactions rest, want about 100", rests)
	}
	if (&interactiveClient{}).restsBefore(history.Event{}, 3) >= 0 {
		t.Error("rests without a pause")
	}
}
