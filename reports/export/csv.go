package export

import (
	"bufio"
	"encoding/csv"
	"strconv"

	"github.com/ordeal-dev/ordeal/history"
)

// csvWriter writes a table as text. Values are JSON; what there is none of is empty.
type csvWriter struct {
	w      *csv.Writer
	events bool
	begun  bool
	value  []byte
}

func newCSV(w *bufio.Writer, events bool) *csvWriter {
	return &csvWriter{w: csv.NewWriter(w), events: events}
}

// begin writes the names of the columns.
func (x *csvWriter) begin() error {
	if x.begun {
		return nil
	}
	x.begun = true
	if x.events {
		return x.w.Write([]string{"index", "time_ns", "process", "type", "f", "key", "value", "error"})
	}
	return x.w.Write([]string{
		"index", "process", "f", "key", "call_ns", "return_ns", "type", "input", "output", "error",
	})
}

func (x *csvWriter) event(e *history.Event) error {
	if !x.events {
		return nil
	}
	if err := x.begin(); err != nil {
		return err
	}
	return x.w.Write([]string{
		number(e.Index), number(int64(e.Time)), number(int64(e.Process)), e.Type.String(),
		string(e.F), string(e.Key), x.json(e.Value), e.Error,
	})
}

func (x *csvWriter) op(op *history.Operation) error {
	if x.events {
		return nil
	}
	if err := x.begin(); err != nil {
		return err
	}
	ended := ""
	if op.Return != history.Never {
		ended = number(int64(op.Return))
	}
	return x.w.Write([]string{
		number(op.Index), number(int64(op.Process)), string(op.F), string(op.Key),
		number(int64(op.Call)), ended, op.Type.String(), x.json(op.In), x.json(op.Out), op.Error,
	})
}

// json writes a value, nothing for nil.
func (x *csvWriter) json(v history.Value) string {
	if v.IsNil() {
		return ""
	}
	x.value = v.AppendJSON(x.value[:0])
	return string(x.value)
}

func (x *csvWriter) close() error {
	if err := x.begin(); err != nil {
		return err
	}
	x.w.Flush()
	return x.w.Error()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
