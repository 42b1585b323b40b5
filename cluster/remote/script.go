package remote

import (
	"context"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// What is done on a node is mostly a small script. It comes over standard input, in
// braces: a shell reads those to their end before it does anything, so that a script
// that arrives in part does nothing at all.
//
// All scripts are idempotent: whoever does not know whether one has run runs it again.

// block puts a script into braces.
func block(script string) []byte {
	return []byte("{\n" + strings.Trim(script, "\n") + "\nexit 0\n}\n")
}

// scripted is the command that runs a script in the POSIX shell; it ends at the first
// command that fails.
func scripted(script string) Command {
	return Command{Argv: []string{"sh", "-eu"}, Stdin: block(script)}
}

// sh runs a script that has to succeed and returns its output.
func sh(ctx context.Context, shell Shell, n nemesis.Node, script string) (string, error) {
	out, err := Must(ctx, shell, n, scripted(script))
	return string(out), err
}

// preamble gives the scripts that deal with a node's process their words: its directory
// d, the pattern of its marker m, and alive, which sets p to its pid. The marker is the
// data directory at the end of an argument, so a pid that meanwhile belongs to somebody
// else is left alone. A zombie has no arguments.
func preamble(dir string) string {
	return fmt.Sprintf(`d=%s
m=%s
alive() {
  p=$(cat "$d/pid" 2>/dev/null) || return 1
  [ -n "$p" ] && grep -qz -- "$m" "/proc/$p/cmdline" 2>/dev/null
}
`, Quote(dir), Quote(pattern(dir+"/"+dataDir)+"$"))
}

// pattern quotes a text for grep. The first character stands in brackets, so that the
// process of grep itself is not found by it.
func pattern(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case i == 0 && r != '^':
			b.WriteString("[" + string(r) + "]")
		case strings.ContainsRune(`.[]*^$\`, r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// What is in a node's directory.
const (
	dataDir = "data"
	logFile = "node.log"
	// othersFile prints the pids of processes that are not in the group of the node's.
	othersFile = "others"
	// markFile says that the directory is ours to be removed.
	markFile = ".ordeal"
)

// prepareScript makes the node's directory and tells what is on the host: the tools that
// are missing, whether IPv6 can be filtered, and the node's addresses.
func prepareScript(dir string) string {
	// Another run that ends removes directories above, if nothing is in them, maybe just
	// between two steps of mkdir.
	return fmt.Sprintf(`d=%s
data=$d/%s
i=0; until mkdir -p "$data" 2>/dev/null || [ $i = 50 ]; do i=$((i+1)); done
mkdir -p "$data"
: >"$d/%s"
for t in setsid flock grep sed tail iptables iptables-restore; do
  command -v "$t" >/dev/null || echo "missing $t"
done
%sif ! e=$(bash_sends); then echo "%s$e"; fi
if ip6tables -w 10 -S INPUT >/dev/null 2>&1; then echo ip6tables; fi
if command -v ip >/dev/null; then ip -o address show | sed 's/^/address /'; fi
`, Quote(dir), dataDir, markFile, bashSends, noBash)
}

// removeScript removes the node's directory, if it is ours, and those above it if
// nothing else is in them.
func removeScript(dir string) string {
	return fmt.Sprintf(`d=%s
if [ -e "$d/%s" ]; then rm -rf -- "$d"; fi
if [ -d "$d" ]; then rmdir "$d"; fi
r=${d%%/*}
rmdir "$r" "${r%%/*}" 2>/dev/null || :
`, Quote(dir), markFile)
}
