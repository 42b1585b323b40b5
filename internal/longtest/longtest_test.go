package longtest

import (
	"flag"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for value, long := range map[string]bool{"required": true, "": false, "no": false} {
		t.Setenv(variable, value)
		if Asked() != long || Of(1, 2) == 2 != long {
			t.Errorf("%s=%s: long %t, %d of 1 and 2", variable, value, Asked(), Of(1, 2))
		}
		made := 0
		for row := range 7 {
			t.Run("row", func(t *testing.T) {
				Sample(t, row, 3)
				made++
			})
		}
		if want := Of(3, 7); made != want {
			t.Errorf("%s=%s: %d of 7 rows were tested, want %d", variable, value, made, want)
		}
	}
}

func TestAtOnce(t *testing.T) {
	limit := flag.Lookup("test.parallel")
	before := limit.Value.String()
	t.Cleanup(func() { limit.Value.Set(before) })
	limit.Value.Set("3")
	t.Setenv(variable, "required")
	if AtOnce(11); limit.Value.String() != "3" {
		t.Errorf("%s at once where nobody waits, want 3", limit.Value)
	}
	t.Setenv(variable, "")
	if AtOnce(11); limit.Value.String() != "11" {
		t.Errorf("%s at once, want 11", limit.Value)
	}
}
