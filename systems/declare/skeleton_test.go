package declare

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSkeleton: what init writes is a declaration, and so it is when every comment that is
// a key has become one.
func TestSkeleton(t *testing.T) {
	text, err := Skeleton("mykv")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mykv.yaml")
	d, err := Load(path, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "mykv" || len(d.Claim.Workloads) != 1 {
		t.Errorf("%+v", d)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "mykv"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	// A key in a comment has no space after the #. Of http and driver there is one.
	key := regexp.MustCompile(`(?m)^( *)#([a-z_-]+:| +[a-z_]+:)`)
	all := key.ReplaceAllString(text, "$1$2")
	for _, other := range []string{"driver: {", "sql: {", "set-full: ", "list-append: "} {
		all = strings.ReplaceAll(all, " "+other, " #"+other)
	}
	if d, err = Load(path, []byte(all), nil); err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	if d.Count != 3 || d.Status == nil || d.PIDFile == "" || d.Stop == "" || len(d.Files) != 1 ||
		!d.HTTP.Has("register", "cas") {
		t.Errorf("keys are missing: %+v", d)
	}
	if _, err := Skeleton("my kv"); err == nil {
		t.Error("a name with a space")
	}
}
