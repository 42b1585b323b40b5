// Package longtest lets tests be short where people wait for them, and long where a machine
// does: a plain `go test ./...` ends within two minutes on two cores, and still does a bit of
// everything. Continuous integration sets ORDEAL_LONG=required, and nothing is left out.
package longtest

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

const variable = "ORDEAL_LONG"

// Asked reports whether all tests are to be made, in full.
func Asked() bool { return os.Getenv(variable) == "required" }

// Only skips a test that is for those who can wait.
func Only(t testing.TB) {
	t.Helper()
	if !Asked() {
		t.Skipf("takes long: %s=required runs it", variable)
	}
}

// Sample skips the test of a row of a table, by the row's number, unless that is a multiple
// of every: of many that are alike, some are for all and the rest for those who can wait.
func Sample(t testing.TB, row, every int) {
	t.Helper()
	if row%every != 0 {
		Only(t)
	}
}

// Of returns full for those who can wait, and brief otherwise.
func Of[T any](brief, full T) T {
	if Asked() {
		return full
	}
	return brief
}

// AtOnce lets n parallel tests of a package run at the same time where people wait, unless the
// command line says how many: those that wait for processes need not wait for each other,
// too. TestMain calls it before anything else.
func AtOnce(n int) {
	if Asked() {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(fmt.Sprintf("parallel tests: %v", err)) // the testing package has no such flag
	}
}
