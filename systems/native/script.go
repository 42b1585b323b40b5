package native

import (
	"fmt"
	"regexp"
	"strings"
)

// Shell is what the scripts of several systems have in common; it is a template for
// expand.Node, and leaves
//
//	as    the words before a program that refuses to be run by root: none, or those that make
//	      it run as the user. It may pass and read all directories all the same, because the
//	      node's own is below one of whoever runs the checker.
//	own   a function that makes an empty directory of that user
//	host  where the node listens: an address, or * for all
func Shell(user string) string {
	return fmt.Sprintf(`as=
if [ "$(id -u)" = 0 ]; then
  group=$(id -g %[1]s) || { echo "root may not run it, and there is no user %[1]s"; exit 1; }
  caps=-all,+dac_override
  as="setpriv --reuid=%[1]s --regid=$group --clear-groups --inh-caps=$caps --ambient-caps=$caps"
fi
own() {
  rm -rf "$1" && mkdir -m 700 "$1" || exit 1
  if [ -n "$as" ]; then chown %[1]s "$1" || exit 1; fi
}
bind={{ quote .Bind }}
host=${bind%%:*}
case "$host" in 0.0.0.0 | '[::]') host='*' ;; esac
`, user)
}

// Indent makes a script a part of another one in YAML, behind its first line.
func Indent(script string) string {
	return strings.ReplaceAll(strings.TrimSpace(script), "\n", "\n  ")
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:*@%+,=-]*$`)

// Plain fails with ErrSettings unless these settings are text that a shell takes as it is.
func Plain(v Values, names ...string) error {
	var bad []string
	for _, name := range names {
		if !plain.MatchString(v[name]) {
			bad = append(bad, fmt.Sprintf("%s=%q", name, v[name]))
		}
	}
	if bad == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: want only letters, digits and /._:*@%%+,=-", ErrSettings,
		strings.Join(bad, ", "))
}
