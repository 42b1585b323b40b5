package doctor

import (
	"slices"

	"github.com/ordeal-dev/ordeal/cluster/remote"
)

// ControlGroups is the trial of limits of CPU time.
const ControlGroups = "cgroup"

// MemoryGroups is the trial of limits of memory.
const MemoryGroups = "memory cgroup"

// SlowWrites is the trial of limits of writes to a disk.
const SlowWrites = "write limit"

// FrozenVolumes is the trial of volumes that stand still.
const FrozenVolumes = "slow volume"

// Faketime is the trial of libfaketime.
const Faketime = "libfaketime"

// ProcessClocks is the trial of bending the clock of any process.
const ProcessClocks = "process clock"

// Probe is the choice of who sends probes on a node: bash, or the agent where that cannot.
const Probe = "probe"

// PowerLoss is the trial of a volume whose power fails.
const PowerLoss = "power loss"

// preamble has what several trials use. $1 is the name of chains, $2 a directory; both
// are not there yet. What follows are the other nodes, name=address. $w, which place makes,
// is where tests have their data: that may be another disk than that of $2.
const preamble = `c=$1; d=$2; shift 2; r=/var/lib/ordeal; w=$r/${d##*/}
place() { mkdir -p "$w" || mkdir -p "$w"; } # again if somebody removed the empty $r meanwhile
bad() { echo "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || bad "there is no $1"; }
# A chain that only sees what goes from this host to its own port 9, where nobody
# listens: nothing else is touched.
raise() { # iptables or ip6tables, table, address, what the rule does
  need "$1"
  t="$1 -w 5 -t $2"; to=$3; shift 3
  trap 'lower' EXIT
  $t -N "$c" && $t -A "$c" "$@" && $t -I OUTPUT 1 -d "$to" -p udp --dport 9 -j "$c"
}
lower() {
  while $t -D OUTPUT -d "$to" -p udp --dport 9 -j "$c" 2>/dev/null; do :; done
  $t -F "$c" 2>/dev/null; $t -X "$c" 2>/dev/null
}
send() { # how many datagrams
  if ! bash_sends >/dev/null; then
    case "$to" in *:*) h="[$to]" ;; *) h=$to ;; esac
    "$d/checker" agent probe send --to "$h:9" --times "$1" --pause 0s >/dev/null
    return
  fi
  # From a socket each: on one, an answer to a datagram is an error of the next.
  bash -c 'for i in $(seq "$1"); do echo x >"/dev/udp/$0/9"; done 2>/dev/null' "$to" "$1" || :
}
counted() { $t -L "$c" -v -x -n | awk 'NR == 3 {print $1}'; }
`

// whole is the trial as a shell reads it.
func (m Mechanism) whole() string { return remote.BashSends() + preamble + m.script }

// sweepScript takes away everything that carries the doctor's name.
const sweepScript = `for t in "iptables -w 5" "iptables -w 5 -t mangle" "ip6tables -w 5"; do
  command -v "${t%% *}" >/dev/null || continue
  $t -S 2>/dev/null | grep -F -- "-j $1" | sed 's/^-A/-D/' | while read -r rule; do $t $rule; done
  if $t -S "$1" >/dev/null 2>&1; then $t -F "$1"; $t -X "$1"; fi
done
for at in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
  g=$at/${2##*/}; [ -d "$g" ] || continue
  i=0; until rmdir "$g" 2>/dev/null || [ ! -d "$g" ]; do
    i=$((i+1)); [ $i -lt 100 ] || exit 1
    kill -9 $(cat "$g/cgroup.procs") 2>/dev/null; sleep 0.02
  done
done
w=/var/lib/ordeal/${2##*/}
for r in "$w/slow.json" "$w"/*.json "$2"/*.json; do # what is frozen cannot be unmounted
  [ ! -e "$r" ] || "$2/checker" agent undo --record "$r" >/dev/null || exit 1
done
rm -rf "$2" "$w"; rmdir /var/lib/ordeal 2>/dev/null
all() { iptables -w 5 -S; iptables -w 5 -t mangle -S; ip6tables -w 5 -S; }
! all 2>/dev/null | grep -F -- "$1"`

// mechanisms are all that is tried; the first is whether the node can be reached.
func mechanisms() []Mechanism {
	return slices.Concat(hostTrials(), networkTrials(), faultTrials(), volumeTrials(), groupTrials())
}

// hostTrials are about what every test needs.
func hostTrials() []Mechanism {
	return []Mechanism{
		{
			Name: "login", For: "everything", Without: "no test on this host", Needed: true,
			script: `[ "$(id -u)" = 0 ] || bad "commands run as $(id -un), not root: sudo -n"
echo "as root on $(uname -sr)"`,
		},
		{
			Name: "tools", For: "starting and watching nodes", Without: "no test on this host",
			Needed: true, Package: "coreutils, util-linux, grep, sed",
			script: `for p in timeout setsid flock sha256sum stat grep sed awk tail; do need "$p"; done
echo all there`,
		},
		{
			Name: Probe, For: "looking whether links deliver",
			Without: "nobody sees whether a cut cuts", Needed: true, sends: true, chooses: true,
			script: `if why=$(bash_sends); then echo bash; exit; fi
"$d/checker" agent probe send --to 127.0.0.1:9 >/dev/null || exit 1
echo "agent $why"`,
		},
		{
			Name: "program", Without: "another system only", script: `"$d/target" version`,
			brings: targetFile,
			For:    "the reference cluster; its clocks and disks need nothing of the host",
		},
		{
			Name: "disk space", For: "data and logs", Without: "nodes stop when the disk is full",
			Needed: true,
			script: `[ -d "$r" ] || r=/var/lib
free=$(df -P -k "$r" | awk 'NR == 2 {print int($4/1024)}')
[ "$free" -ge 512 ] || bad "only $free MiB free below $r"
echo "$free MiB free below $r"`,
		},
		{
			Name: "signals", For: "kill and pause", Without: "no faults of processes", Needed: true,
			script: `setsid sleep 30 </dev/null >/dev/null 2>&1 & p=$!
trap 'kill -9 $p 2>/dev/null' EXIT
is() { i=0; until grep -q "^State:.$1" /proc/$p/status 2>/dev/null; do
  i=$((i+1)); [ $i -lt 100 ] || bad "it does not follow SIG$2"; sleep 0.02; done; }
kill -STOP $p && is T STOP && kill -CONT $p && is S CONT && kill -KILL $p && wait $p
[ $? = 137 ] && echo "STOP, CONT and KILL seen to work"`,
		},
		{
			Name: "reachability", For: "the cluster", Without: "nodes do not hear each other",
			Needed: true, sends: true,
			script: `n=0; bash_sends >/dev/null || agent=1
for o; do n=$((n+1)); a=${o#*=}
  if [ -n "$agent" ]; then
    case "$a" in *:*) a="[$a]" ;; esac
    s=$("$d/checker" agent probe reach --to "x=$a:1" --timeout 3s) || exit 1
    case "$s" in *'"error":"no answer"'*) deaf="$deaf ${o}" ;; esac
    continue
  fi
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/1"' "$a" 2>/dev/null
  [ $? != 124 ] || deaf="$deaf ${o}"
done
[ -z "$deaf" ] || bad "no answer from$deaf"
echo "all $n addresses of the others answer"`,
		},
	}
}

// networkTrials are about what disturbs the network.
func networkTrials() []Mechanism {
	return []Mechanism{
		{
			Name: "iptables", For: "partitions", Without: "no faults of the network", Needed: true,
			Package: "iptables", sends: true,
			script: `raise iptables filter 127.0.0.1 -j DROP && send 3; n=$(counted)
[ "$n" = 3 ] || bad "of 3 datagrams the rule saw ${n:-none}"
echo "an own chain dropped 3 of 3"`,
		},
		{
			Name: "ip6tables", For: "partitions of IPv6", Without: "IPv6 is not cut",
			Package: "iptables", sends: true,
			script: `grep -qs ' lo$' /proc/net/if_inet6 || { echo "no IPv6 here, nothing to cut"; exit; }
raise ip6tables filter ::1 -j DROP && send 3; n=$(counted)
[ "$n" = 3 ] || bad "of 3 datagrams the rule saw ${n:-none}"
echo "an own chain dropped 3 of 3"`,
		},
		{
			Name: "statistic", For: "loss", Without: "no loss by the firewall", Package: "iptables",
			sends: true,
			script: `raise iptables filter 127.0.0.1 \
  -m statistic --mode random --probability 0.5 -j DROP && send 64
n=$(counted)
[ "${n:-0}" -ge 8 ] && [ "$n" -le 56 ] || bad "of 64 datagrams ${n:-0} were dropped, not half"
echo "dropped $n of 64, half was asked for"`,
		},
		{
			Name: "NFQUEUE", For: "messages doubled, late, reordered, damaged",
			Without: "what happens to messages is loss only, unless tc netem works",
			Package: "iptables", sends: true,
			script: `raise iptables mangle 127.0.0.1 -j NFQUEUE --queue-num 65533 --queue-bypass &&
  send 3; n=$(counted)
[ "$n" = 3 ] || bad "of 3 datagrams the rule saw ${n:-none}"
echo "a queue that nobody serves let 3 of 3 through"`,
		},
		{
			Name: "tc netem", For: "the same, by the kernel", Without: "done by the agent",
			Package: "iproute2",
			script: `need tc
case "$(tc qdisc show dev lo)" in
*noqueue*) ;;
*) bad "not tried: the loopback has a queueing discipline" ;;
esac
trap 'tc qdisc del dev lo root 2>/dev/null' EXIT
tc qdisc add dev lo root netem delay 1us && echo "the loopback took it"`,
		},
	}
}

// faultTrials are about what only some systems or faults need.
func faultTrials() []Mechanism {
	return []Mechanism{
		{
			Name: Faketime, For: "clocks of other systems written for libc",
			Without: "no clocks of declarations with faketime: true", Package: "faketime",
			script: `need faketime
a=$(date +%s); b=$(faketime -f +1h date +%s) || exit 1; n=$((b-a))
[ $n -ge 3590 ] && [ $n -le 3610 ] || bad "an hour came out as $n s"
echo "a program was an hour ahead"`,
		},
		{
			Name: ProcessClocks, For: "the time of day of any program", brings: agentFile,
			Without: "clocks of the reference cluster only",
			script: `sleep 60 & p=$!
trap 'kill -9 $p 2>/dev/null' EXIT
i=0; until grep -q sleep /proc/$p/comm; do i=$((i+1)); [ $i -lt 100 ] || break; sleep 0.02; done
a() { "$d/checker" agent "$@" --record "$d/clock"; }
a clock bend --pid $p --offset 1h >/dev/null || exit 1
s=$(a injury) || exit 1; a undo >/dev/null || exit 1
s=${s#*'"ahead":'}; s=${s%%,*}; s=$((s / 1000000))
[ $s -ge 3599900 ] && [ $s -le 3600100 ] || bad "an hour came out as $s ms"
echo "a process was an hour ahead"`,
		},
	}
}

// volumeTrials are about disks and volumes of any system.
func volumeTrials() []Mechanism {
	return []Mechanism{
		{
			Name: PowerLoss, For: "loss of what was not synced, of any system", brings: agentFile,
			Without: "no loss of power", Package: "e2fsprogs, mount",
			script: `place && mkdir -p "$w/power" && echo kept >"$w/power/file" || exit 1
a() { "$d/checker" agent "$@" --record "$w/power.json"; }
v() { a volume power --dir "$w/power" --power "$1"; }
trap 'a undo >/dev/null' EXIT
v on >/dev/null && v off >/dev/null && s=$(v on) || exit 1
case "$s" in *'"kept":true,"lost":true'*) ;; *) bad "not what was to be lost was lost: $s" ;; esac
[ -e "$w/power/file" ] || bad "what was synced is gone"
echo "of two files the synced one was left"`,
		},
		{
			Name: FrozenVolumes, For: "slow syncs, of any system", brings: agentFile,
			Without: "no slow volumes", Package: "e2fsprogs, mount",
			script: `place && mkdir -p "$w/slow" || exit 1
a() { r=$1; shift; "$d/checker" agent "$@" --record "$w/$r.json"; }
trap 'a slow undo >/dev/null; a volume undo >/dev/null' EXIT
a volume volume power --dir "$w/slow" >/dev/null || exit 1
a slow volume slow --volume "$w/volume.json" --delay 200ms >/dev/null || exit 1
i=0
until s=$(a slow injury) && n=${s#*'"slow":'} && n=${n%%[,\}]*} && [ "$n" -gt 0 ]; do
  i=$((i+1)); [ $i -lt 50 ] || bad "no sync was slow: $s"; sleep 0.1
done
a slow undo >/dev/null || exit 1
echo "a sync waited until its volume was thawed"`,
		},
		{
			Name: SlowWrites, For: "limits of writes to a disk", Without: "no limits of writes",
			brings: agentFile,
			script: `place || exit 1
a() { "$d/checker" agent "$@" --record "$w/writes.json"; }
trap 'a undo >/dev/null' EXIT
a disk limit --dir "$w" --pid $$ --rate 262144 >/dev/null || exit 1
t=$(date +%s%N)
dd if=/dev/zero of="$w/file" bs=64k count=8 conv=fsync 2>/dev/null || bad "nothing can be written"
t=$((($(date +%s%N) - t) / 1000000))
[ $t -ge 1000 ] || bad "the kernel takes the limit and does not keep it: 512 KiB, written and" \
  "synced at 256 KiB/s, took $t ms"
echo "512 KiB at 256 KiB/s took $t ms"`,
		},
	}
}

// groupTrials are about control groups.
func groupTrials() []Mechanism {
	return []Mechanism{
		{
			Name: ControlGroups, For: "limits of CPU time", Without: "no faults of the CPU",
			script: `g=${d##*/}
for at in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
  [ -e "$at/cgroup.procs" ] || continue
  [ "$at" != /sys/fs/cgroup ] || { grep -qw cpu "$at/cgroup.controllers" &&
    echo +cpu >"$at/cgroup.subtree_control"; } 2>/dev/null || continue
  mkdir "$at/$g" 2>/dev/null || continue
  setsid sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 & p=$!
  trap 'kill -9 $p 2>/dev/null; wait $p 2>/dev/null
    i=0; until rmdir "$at/$g" 2>/dev/null || [ $i = 50 ]; do i=$((i+1)); sleep 0.02; done' EXIT
  if [ -e "$at/$g/cpu.max" ]; then echo "5000 100000" >"$at/$g/cpu.max"
  else echo 5000 >"$at/$g/cpu.cfs_quota_us"; fi || bad "the limit was not taken"
  echo $p >"$at/$g/cgroup.procs" || bad "no process can be moved"
  i=0
  until n=$(awk '$1 == "nr_throttled" {print $2}' "$at/$g/cpu.stat" 2>/dev/null) &&
    [ "${n:-0}" -gt 1 ]; do
    i=$((i+1)); [ $i -lt 100 ] || bad "a busy process was not throttled"; sleep 0.05
  done
  echo "a busy process in $at was throttled"; exit
done
bad "/sys/fs/cgroup cannot be written here"`,
		},
		{
			Name: MemoryGroups, For: "limits of memory", Without: "no faults of memory",
			brings: agentFile,
			script: `a() { "$d/checker" agent "$@" --record "$d/memory.json"; }
trap 'a undo >/dev/null' EXIT
a memory limit --enter "$d/group" --bytes 8388608 >/dev/null || exit 1
sh -c 'echo $$ >"$(cat "$1")" || exit 7
head -c 32m /dev/zero | tail -c 32m | wc -c' sh "$d/group" >/dev/null 2>&1
[ $? != 7 ] || bad "no process can be moved" # the kernel may kill any of them, the shell, too
s=$(a injury) || exit 1
s=${s#*'"met":'}; s=${s%%[,\}]*}
[ "$s" -gt 0 ] || bad "a process that wants 32 MiB did not meet a limit of 8"
echo "a process met its limit $s times"`,
		},
	}
}
