package run

import (
	"os"
	"testing"

	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// TestMain lets the tests that wait for nodes wait at the same time.
func TestMain(m *testing.M) {
	longtest.AtOnce(6)
	os.Exit(m.Run())
}
