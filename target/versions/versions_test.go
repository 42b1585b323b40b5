package versions

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawUpdate(t *rapid.T, v Value) Update {
	arg := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "arg"))
	kind := v.kind
	if kind == "" {
		kind = rapid.SampledFrom([]string{"register", "counter", "list", "set"}).Draw(t, "kind")
	}
	if rapid.IntRange(0, 9).Draw(t, "put") == 0 {
		return Value{}.Apply(drawUpdate(t, Value{kind: kind})).Put()
	}
	f := map[string]string{"register": "write", "counter": "add", "list": "append", "set": "append"}
	return Update{Kind: kind, F: f[kind], Arg: arg}
}

// TestTwoForms compares copies, and base with log, with whole databases by
// number, through commits, commits that are taken back, and collections: all give
// the same answer for every snapshot from the oldest active one.
func TestTwoForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		forms := map[string]Store{"copies": NewCopies(), "log": NewUpdates()}
		whole := []map[string]Value{{}}
		nums := []map[string]Num{{}}
		oldest := Num(0)
		commit := func(t *rapid.T, keep bool) {
			last := Num(len(whole) - 1)
			after, numbers := maps.Clone(whole[last]), maps.Clone(nums[last])
			keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3,
				rapid.ID).Draw(t, "keys")
			for _, key := range keys {
				var us []Update
				v := whole[last][key]
				for range rapid.IntRange(1, 3).Draw(t, "updates") {
					u := drawUpdate(t, v)
					us, v = append(us, u), v.Apply(u)
				}
				after[key], numbers[key] = v, last+1
				for _, f := range forms {
					f.Install(key, last+1, v, us)
				}
			}
			if keep {
				whole, nums = append(whole, after), append(nums, numbers)
				return
			}
			for name, f := range forms {
				for _, key := range keys {
					if !f.Remove(key, last+1) || f.Remove(key, last+1) {
						t.Fatalf("%s: remove of %s at %d", name, key, last+1)
					}
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) { commit(t, true) },
			"abort":  func(t *rapid.T) { commit(t, false) },
			"collect": func(t *rapid.T) {
				oldest = Num(rapid.IntRange(int(oldest), len(whole)-1).Draw(t, "oldest"))
				for _, f := range forms {
					f.Collect(oldest)
				}
			},
			"": func(t *rapid.T) {
				last := Num(len(whole) - 1)
				for name, f := range forms {
					want := slices.Sorted(maps.Keys(whole[last]))
					if got := f.Keys(); !slices.Equal(got, want) || f.Len() != len(want) {
						t.Fatalf("%s has %d keys %v, want %v", name, f.Len(), got, want)
					}
					for _, key := range []string{"a", "b", "c"} {
						if got := f.Newest(key); got != nums[last][key] {
							t.Fatalf("%s: newest of %s is %d, want %d", name, key, got, nums[last][key])
						}
						for snap := oldest; snap <= last; snap++ {
							v, num := f.At(key, snap)
							if want := whole[snap][key]; !v.Equal(want) || num != nums[snap][key] {
								t.Fatalf("%s: %s at %d is %s of %d, want %s of %d", name, key, snap,
									v.Read(), num, want.Read(), nums[snap][key])
							}
						}
					}
				}
			},
		})
	})
}

// TestListsShare appends to one list in two ways: neither sees the other's.
func TestListsShare(t *testing.T) {
	a := Value{}.Apply(Update{Kind: "list", F: "append", Arg: "1"})
	b := a.Apply(Update{Kind: "list", F: "append", Arg: "2"})
	c := a.Apply(Update{Kind: "list", F: "append", Arg: "3"})
	d := b.Apply(Update{Kind: "list", F: "append", Arg: "4"})
	for v, want := range map[*Value]string{&a: "[1]", &b: "[1,2]", &c: "[1,3]", &d: "[1,2,4]"} {
		if got := v.Read(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	one := Update{Kind: "set", F: "append", Arg: "1"}
	set := Value{}.Apply(one).Apply(one)
	if got := set.Read(); got != "[1]" {
		t.Errorf("a set with 1 twice reads %s", got)
	}
}
