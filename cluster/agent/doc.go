// Package agent is what runs on a node, beside the system under test, when a shell
// and iptables do not do: it delays, duplicates, reorders, corrupts and replays
// packets where the kernel has no netem, sends probes where there is no bash for it,
// damages files, fills disks, finds processes and limits their CPU time and memory. It is part
// of the checker's own binary, which the controller uploads; a node needs no
// compiler, no kernel module and no library.
//
// # Command line
//
// The controller speaks to it by single commands through a nemesis.Shell. Each prints
// one JSON value on standard output; exit status 0 says that it was done, 254 that the
// arguments are wrong, 255 that it failed, with one line on standard error.
//
//	checker agent queue start  --dir D --instance I --queue-num 7 --seed S
//	                           [--lease 30s] [--mark 0x71]
//	checker agent queue set    --dir D [--rules FILE]     rules from FILE or standard input
//	checker agent queue status --dir D
//	checker agent queue stop   --dir D [--timeout 5s]
//	checker agent queue run    (as start, in the foreground)
//
//	checker agent probe send  --to 10.0.0.2:7009,… [--text T] [--times 3] [--pause 10ms]
//	checker agent probe reach --to n2=10.0.0.2:7000,… [--timeout 500ms]
//
//	checker agent file flip     --record R --path F [--place 0.5 | --offset N] [--bit 3]
//	checker agent file truncate --record R --path F --cut BYTES
//	checker agent file snapshot --path F [--path G …] --to DIR
//	checker agent file restore  --record R --from DIR
//	checker agent disk fill     --record R --dir D [--leave BYTES] [--most BYTES]
//	checker agent disk limit    --record R --dir D (--marker M | --pid P,…) --rate BYTES
//	checker agent cpu limit     --record R (--marker M | --pid P,…) --percent 10
//	checker agent memory limit  --record R --enter F [--percent 80 | --bytes N]
//	checker agent clock bend    --record R (--marker M | --pid P,…)
//	                            [--offset 1h] [--gain 0.05] [--period 200ms]
//	checker agent volume power  --record R --dir D [--marker M | --pid P,…] [--power on|off]
//	                            [--filesystem ext4|xfs] [--size BYTES]
//	checker agent volume slow   --record R --volume R2 [--delay 300ms] [--gap 100ms]
//	                            [--lease 30s]
//	checker agent injury        --record R                what it has done so far
//	checker agent undo          --record R                any of these
//	checker agent process find  --marker M [--environment]
//
// # A daemon's life
//
// Start returns once the daemon works (its queue is bound), detached
// from the terminal and the connection. D is a directory on the node that belongs to
// this daemon alone, at most 80 bytes long: a lock, a control socket, a log and, after
// an orderly end, the last status. Every call can be made again when the connection
// broke before the answer came: start with the same instance answers with the status
// of the one that runs, with another instance it is refused; set with a generation
// that is in force already, and the same rules, changes nothing; stop of what does not
// run succeeds.
//
// Every set and status renews the lease. A daemon that hears nothing for the
// lease's time ends by itself, so that a controller that was killed leaves no delays
// for ever. SIGTERM, stop and the end of the lease are orderly: everything held back
// is let go at once, and the last status is written.
//
// SIGKILL is not: the kernel drops what waits in its queue, and the rule's
// --queue-bypass lets everything else through from then on. Status then says "dead"
// (there was a daemon, it left no last status), or has another instance than the one
// that the controller knows. Either means that the faults of the time since the last
// good status have no evidence: the run is to be marked.
//
// # Rules of the queue
//
// The controller gives all rules at once (Rules), with a generation that only grows; a
// smaller one than that in force is refused, so that a set that was stuck in a
// connection cannot undo a later one. Set returns when the rules are in force for every
// packet that comes from then on, and a cut also for what is held back. What an earlier
// rule has delayed still comes when it is due.
//
// A packet belongs to the first link of the list with a match for it. What matches none
// passes, and is counted as unmatched. The agent sees what an iptables rule hands to it:
//
//	iptables -t mangle -A ORDEAL-OUT -d PEER -p udp -m mark ! --mark 0x71
//	  -j NFQUEUE --queue-num 7 --queue-bypass
//
// The mark is that of the packets that the agent sends itself: without it they would
// come back to it for ever. A link from this node is best taken in OUTPUT, where a
// packet is still one whole datagram; links from clients, where no agent runs at the
// other end, in INPUT. Copies (duplicate, replay) and late messages need OUTPUT: in
// INPUT only cut, loss, delay, jitter and rate are taken.
//
// What a rule means is that of nemesis.Rule, as cluster/local does it (package impair):
//
//	            UDP              TCP between nodes            to and from clients
//	cut         dropped          dropped                      dropped
//	loss        dropped          dropped, the sender repeats  -
//	delay       ± jitter         order kept                   order kept
//	rate        by payload, more than a second's queue is dropped
//	duplicate   sent twice       sent twice                   -
//	reorder     overtaken by 1…3 later ones, or after 200 ms  -
//	corrupt     a payload bit,   dropped, as the receiver's   -
//	            valid checksum   checksum would
//	replay      a copy later     -                            -
//	hold        comes late       -                            -
//
// A corrupted datagram gets a valid checksum, because it is to reach the program. A
// corrupted segment must not: that TCP delivers wrong bytes is no fault that a system
// has to survive, and a virtual network without checksums would deliver it. Old
// segments are not replayed for the same reason, they could fit a later connection.
//
// Counters are those of nemesis.Counters for each link, and only grow while an instance
// lives. A message is a packet. Packets with ProbeMark are treated as all others but
// not counted, and not held: a fault must not prove itself by the probe that looks for
// it. Compare QueueStats.Received with the counter of the iptables rule to see whether
// packets went past the agent.
//
// # Injuries
//
// What is done to files, disks and processes is written into a record R, synced, before
// it is done; what undoing takes of a file's content is in R.aside. A repeated call with
// the same arguments finishes what the first one began, and with others is refused. Undo
// takes it back, and with no record has nothing to do. It leaves alone what the system
// has made its own in the meantime (the file was replaced, the byte written anew, the
// system went on from the restored files) and says so. Nobody should write to files
// while they are damaged or put back: the controller stops the node before.
//
// The clock of a process is bent in its memory: clock bend can be called again with
// another setting, and with none makes it true. It reaches the time of day that is asked for
// through the vDSO (Go, libc, the JVM), in the processes found then and in children that
// they fork later. Not reached are programs started later, also by those processes; raw
// system calls; 32-bit programs; and what the kernel tells the time of: files, and waits until
// a time of day, which are as long as the true clock says. Durations are not affected.
//
// Memory limit makes a control group, and puts into F where its list of processes is: who
// writes his pid there, and whom he starts, has what memory he takes counted from then on.
// Called again it limits that, or with neither percent nor bytes lifts the limit.
// What the kernel can take away at once (copies of files, or, with swap, all) it does; the
// limit is not lower than what is left then, so that nobody is killed who wants no more.
//
// Volume power moves a directory to a volume of its own (a file, a loop device, ext4 or xfs);
// nobody may use it meanwhile. With --power off the processes are stopped and the kernel
// shuts the filesystem down, its journal too: what was not synced is lost, as when power
// fails. Once they are killed, --power on mounts it anew. Undo puts the data back where it
// was; the processes have to be down.
//
// Volume slow freezes the volume of another record for the delay, again and again: whoever
// writes to it or syncs meanwhile waits. No other filesystem can be frozen so. A daemon in
// R.aside does it, with a lease, and thaws it in the end; a second process waits for the end
// of that one, and thaws too if it was killed. Undo ends both, and returns after a sync.
//
// A volume with more free space than --most (1 GiB) is not filled: it is likely the
// machine's own. Processes are found by a marker at the end of a word of their command
// line; who asks, and the shells that it was started by, carry the marker, too, and are
// left out.
package agent
