package longtest

import "testing"

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
