package systems

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/expand"
)

// A node of a declared system is run by a small shell script that stays beside it as
// long as it lives. The script is the node's process for the cluster: it has the data
// directory on its command line, by which it is known, it leads the process group that
// gets the signals, and it ends when the system's own process does.

// nodeOf makes what templates are told of a node.
func nodeOf(spec NodeSpec) expand.Node {
	n := expand.Node{
		Bind: spec.Bind, PeerBind: spec.PeerBind, Data: spec.DataDir, Files: spec.Files,
		Cluster: spec.Cluster, Seed: spec.Seed,
	}
	for i, m := range spec.Members {
		client, peer := expand.NewTarget(m.Client, ""), expand.NewTarget(m.Peer, "")
		member := expand.Member{
			Name: m.Name, Index: i, Number: i + 1, Address: client.Address, Port: client.Port,
			PeerPort: peer.Port,
		}
		n.Nodes = append(n.Nodes, member)
		if m.Name == spec.Name {
			n.Member = member
		} else {
			n.Peers = append(n.Peers, member)
		}
	}
	return n
}

// nodeScript is the text of the script for one start of a node.
func nodeScript(d *declare.Declaration, spec NodeSpec) (string, error) {
	node := nodeOf(spec)
	var firstError error
	fill := func(text string) string {
		out, err := expand.Text(text, node, spec.Here)
		if err != nil && firstError == nil {
			firstError = err
		}
		return strings.TrimSpace(out)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "d=%s\ncd \"$d\" || exit 1\nexec 3<&0 </dev/null\n", expand.Quote(spec.DataDir))
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, expand.Quote(fill(d.Env[name])))
	}
	others, err := othersScript(d, spec)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "g=$$\nothers() {\n%s\n}\n", others)
	// What happens once is marked beside the data, which a fault may wipe.
	mark := expand.Quote(path.Join(path.Dir(spec.DataDir), "installed"))
	fmt.Fprintf(&b, "if [ ! -e %s ]; then\n", mark)
	for _, c := range []struct{ what, text string }{
		{"wipe", fill(d.Wipe)}, {"install", fill(d.Install)},
	} {
		if c.text != "" {
			fmt.Fprintf(&b, "sh -ec %s 3<&- || { echo '%s failed'; exit 1; }\n",
				expand.Quote(c.text), c.what)
		}
	}
	fmt.Fprintf(&b, ": >%s\nfi\n", mark)
	if spec.Tethered {
		b.WriteString("{ cat >/dev/null; kill -9 $(others) 2>/dev/null; kill -9 0; } <&3 &\n")
	}
	stop := "kill -TERM \"${c:-$!}\" $(others) 2>/dev/null"
	if d.Stop != "" {
		stop = "sh -c " + expand.Quote(fill(d.Stop)) + " 3<&-"
	}
	// Before there is anything to be stopped: else a node that has just begun could be told to
	// end while its script does not listen yet.
	fmt.Fprintf(&b, "trap %s TERM\n", expand.Quote(stop))
	fmt.Fprintf(&b, "sh -c %s 3<&- &\nc=$!\n", expand.Quote(fill(d.Start)))
	if daemon(d) {
		// A start command that goes into the background ends before the daemon has begun.
		b.WriteString("n=0\nuntil [ -n \"$(others)\" ] || [ \"$n\" -ge 100 ]; do\n" +
			"  n=$((n+1)); sleep 0.05 & wait $!\ndone\n")
	}
	if spec.ReadyFile != "" {
		b.WriteString(readyScript(node, spec))
	}
	b.WriteString(waitScript(d))
	return b.String(), firstError
}

// daemon reports whether the declaration says how processes are found that are not those
// of the start command.
func daemon(d *declare.Declaration) bool { return d.PIDFile != "" || d.Pattern != "" }

// waitScript waits until the system's process has ended: the one that was started, and
// whatever it left behind, if the declaration says how that is found.
func waitScript(d *declare.Declaration) string {
	s := "s=0\nwhile kill -0 \"$c\" 2>/dev/null; do wait \"$c\"; s=$?; done\n" +
		// A wait that a signal has interrupted tells of that. Who ended meanwhile is gone, and
		// is still known to the shell.
		"if [ \"$s\" -gt 128 ]; then\n  wait \"$c\"\n  w=$?\n  [ \"$w\" = 127 ] || s=$w\nfi\n"
	if daemon(d) {
		s += "while [ -n \"$(others)\" ]; do sleep 0.1 & wait $!; done\n"
	}
	return s + "exit \"$s\"\n"
}

// readyScript reports the node's addresses when its port is open for the first time,
// which on Linux can be seen without a tool. Later starts are reported at once: a node
// that waits for others is up, too.
func readyScript(n expand.Node, spec NodeSpec) string {
	served := expand.Quote(path.Join(path.Dir(spec.DataDir), "served"))
	file := expand.Quote(spec.ReadyFile)
	report := expand.Quote(fmt.Sprintf(`{"http":%q,"peer":%q}`, spec.Bind, spec.PeerBind))
	return fmt.Sprintf(`until [ -e %s ] || grep -qs ':%04X 0*:0000 0A' /proc/net/tcp /proc/net/tcp6; do
  kill -0 "$c" 2>/dev/null || [ -n "$(others)" ] || break
  sleep 0.05 & wait $!
done
if kill -0 "$c" 2>/dev/null || [ -n "$(others)" ]; then
  : >%[1]s
  echo %[3]s >%[4]s.new && mv %[4]s.new %[4]s
fi
`, served, n.Port, report, file)
}

// treeScript prints the pids of a node's processes beside the group that $1 leads: those
// that others finds, and all descendants of both.
func treeScript(others string) string {
	return "g=$1\nothers() {\n" + others + `
}
t=" $g $(echo $(others)) "
all=$(ps -A -o pid= -o ppid=)
more=1
while [ "$more" = 1 ]; do
  more=0
  while read -r p parent; do
    case "$t" in
      *" $p "*) ;;
      *" $parent "*) t="$t$p "; more=1 ;;
    esac
  done <<END
$all
END
done
for p in $t; do
  if [ "$p" != "$g" ] && [ "$p" != $$ ] && [ "$p" -gt 1 ]; then echo "$p"; fi
done
`
}

// othersScript prints the pids of the node's processes that are not in the group of its
// script, g: those that the declaration finds by a file or a pattern.
func othersScript(d *declare.Declaration, spec NodeSpec) (string, error) {
	node := nodeOf(spec)
	switch {
	case d.PIDFile != "":
		file, err := expand.Text(d.PIDFile, node, spec.Here)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf(`  p=$(head -n 1 %s 2>/dev/null | tr -dc 0-9)
  if [ -n "$p" ] && kill -0 "$p" 2>/dev/null; then echo "$p"; fi`, expand.Quote(file)), nil
	case d.Pattern != "":
		pattern, err := expand.Text(d.Pattern, node, spec.Here)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf(`  for p in $(pgrep -f -- %s); do
    if [ "$(ps -o pgid= -p "$p" | tr -dc 0-9)" != "$g" ]; then echo "$p"; fi
  done`, expand.Quote(pattern)), nil
	default:
		return "  :", nil
	}
}
