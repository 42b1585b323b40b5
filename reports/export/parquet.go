package export

import (
	"bufio"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/ordeal-dev/ordeal/history"
)

const (
	// groupRows bounds the rows that wait in memory to be written.
	groupRows = 1 << 16
	batchRows = 1 << 10
)

// opRow is a row of the table of operations. Times are nanoseconds since the start of the
// test; return_ns is null while nobody knows the outcome. Input and output are JSON.
type opRow struct {
	Index   int64  `parquet:"index,delta"`
	Process int64  `parquet:"process,dict"`
	F       string `parquet:"f,dict"`
	Key     string `parquet:"key,dict"`
	Call    int64  `parquet:"call_ns,delta"`
	Return  *int64 `parquet:"return_ns,optional"`
	Type    string `parquet:"type,dict"`
	Input   string `parquet:"input,optional"`
	Output  string `parquet:"output,optional"`
	Error   string `parquet:"error,optional,dict"`
}

// eventRow is a row of the table of events. The process of the nemesis is -1.
type eventRow struct {
	Index   int64  `parquet:"index,delta"`
	Time    int64  `parquet:"time_ns,delta"`
	Process int64  `parquet:"process,dict"`
	Type    string `parquet:"type,dict"`
	F       string `parquet:"f,dict"`
	Key     string `parquet:"key,dict"`
	Value   string `parquet:"value,optional"`
	Error   string `parquet:"error,optional,dict"`
}

// parquetWriter writes rows in batches.
type parquetWriter[R any] struct {
	w       *parquet.GenericWriter[R]
	rows    []R
	written int
	ofEvent func(*history.Event) R
	ofOp    func(*history.Operation) R
}

func newParquet[R any](w *bufio.Writer) *parquetWriter[R] {
	return &parquetWriter[R]{
		w: parquet.NewGenericWriter[R](w, parquet.Compression(&zstd.Codec{}),
			parquet.CreatedBy("ordeal", "1", "")),
		rows: make([]R, 0, batchRows),
	}
}

func newParquetOps(w *bufio.Writer) writer {
	x := newParquet[opRow](w)
	x.ofOp = func(op *history.Operation) opRow {
		row := opRow{
			Index: op.Index, Process: int64(op.Process), F: string(op.F), Key: string(op.Key),
			Call: int64(op.Call), Type: op.Type.String(), Input: jsonText(op.In),
			Output: jsonText(op.Out), Error: op.Error,
		}
		if op.Return != history.Never {
			t := int64(op.Return)
			row.Return = &t
		}
		return row
	}
	return x
}

func newParquetEvents(w *bufio.Writer) writer {
	x := newParquet[eventRow](w)
	x.ofEvent = func(e *history.Event) eventRow {
		return eventRow{
			Index: e.Index, Time: int64(e.Time), Process: int64(e.Process), Type: e.Type.String(),
			F: string(e.F), Key: string(e.Key), Value: jsonText(e.Value), Error: e.Error,
		}
	}
	return x
}

func (x *parquetWriter[R]) event(e *history.Event) error {
	if x.ofEvent == nil {
		return nil
	}
	return x.add(x.ofEvent(e))
}

func (x *parquetWriter[R]) op(op *history.Operation) error {
	if x.ofOp == nil {
		return nil
	}
	return x.add(x.ofOp(op))
}

func (x *parquetWriter[R]) add(row R) error {
	x.rows = append(x.rows, row)
	if len(x.rows) < batchRows {
		return nil
	}
	return x.flush()
}

// flush hands the batch on, and ends the group of rows when it is large.
func (x *parquetWriter[R]) flush() error {
	n, err := x.w.Write(x.rows)
	clear(x.rows)
	x.rows = x.rows[:0]
	if x.written += n; err == nil && x.written >= groupRows {
		x.written = 0
		err = x.w.Flush()
	}
	return err
}

func (x *parquetWriter[R]) close() error {
	if err := x.flush(); err != nil {
		return err
	}
	return x.w.Close()
}

// jsonText is empty, which is null in the table, for nil.
func jsonText(v history.Value) string {
	if v.IsNil() {
		return ""
	}
	return string(v.AppendJSON(nil))
}
