package declare

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed skeleton.yaml
var skeleton string

// Skeleton is a declaration to begin with, in which every key has a comment.
func Skeleton(name string) (string, error) {
	if !nameShape.MatchString(name) {
		return "", fmt.Errorf("name %q: want letters, digits, . - _", name)
	}
	return strings.ReplaceAll(skeleton, "NAME", name), nil
}
