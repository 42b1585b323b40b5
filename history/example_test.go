package history_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ordeal-dev/ordeal/history"
)

// A worker records what it asks and what it is told; a checker loads it later.
func Example() {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)
	r, err := history.Create(filepath.Join(dir, history.FileName), history.Header{Test: "example"})
	if err != nil {
		log.Panic(err)
	}
	worker := r.NewLog()
	op := history.Event{Process: 0, Type: history.Invoke, F: "cas", Key: "x"}
	op.Value = history.Pair(1, 2)
	worker.Record(op)
	op.Type, op.Value, op.Error = history.Fail, history.Nil(), "precondition-failed"
	worker.Record(op)
	if err := r.Close(); err != nil {
		log.Panic(err)
	}

	h, err := history.Load(dir)
	if err != nil {
		log.Panic(err)
	}
	for _, op := range h.Ops {
		fmt.Println(op.F, op.Key, op.In, op.Type, op.Error, op.Call <= op.Return)
	}
	// Output: cas x [1,2] fail precondition-failed true
}
