// Package sim runs a whole cluster of protocol machines in one goroutine, over
// a virtual network, virtual clocks and virtual disks. One seed decides
// everything: which messages are lost, doubled or late, which node loses power
// between two records, what the clients ask. Running a seed again repeats the
// run exactly, so that a failure found once can be looked at as often as needed.
//
// The machines cannot tell the simulation from target/server: both feed them
// with Step, Submit and Tick and carry out their Ready in the promised order
// (checkpoint, records, sync, messages, replies). The simulation is the harsher
// of the two. It cuts power at every point inside a Ready, hands a message to
// Step in a buffer that it overwrites afterwards, restarts clocks from another
// origin, and replays datagrams seconds late.
//
// A run has two parts. First clients issue Options.Ops operations while faults
// come and go; each seed picks its own mix of faults ("swarm testing", Groce et
// al., ISSTA 2012), because a run with all of them at once rarely gets far
// enough to be interesting. Then everything is healed and restarted, and the
// cluster has to show that it is alive: what is pending must be answered and new
// requests at every node must succeed.
//
// What is right is for the protocol's tests to say: Options.Observe sees every
// event, Options.Check is asked after every step, Options.AtEnd judge the
// history. The simulation itself checks only the contract of package protocol:
// one reply for each request, in time, messages to members and of a size that
// fits a datagram.
package sim
