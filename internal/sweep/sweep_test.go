package sweep

import "testing"

func TestEnvironment(t *testing.T) {
	t.Setenv("CHECK_ROUNDS", "")
	t.Setenv("CHECK_SEED", "")
	if n := Rounds(t, 7); n != 7 {
		t.Errorf("%d rounds, want 7", n)
	}
	usual := Rand(t, 1, 2).Uint64()
	if usual != Rand(t, 1, 2).Uint64() || usual == Rand(t, 1, 3).Uint64() {
		t.Error("not the same each time, or the same for all")
	}
	t.Setenv("CHECK_ROUNDS", "100000")
	t.Setenv("CHECK_SEED", "5")
	if n := Rounds(t, 7); n != 100_000 {
		t.Errorf("%d rounds, want 100000", n)
	}
	if usual == Rand(t, 1, 2).Uint64() {
		t.Error("another seed makes the same")
	}
}
