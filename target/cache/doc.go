// Package cache is registers that every node keeps copies of, which are never stale:
// a server promises each node that it changes nothing that the node holds without
// telling it first, for a limited time (Gray and Cheriton, "Leases: an efficient
// fault-tolerant mechanism for distributed file cache consistency", SOSP 1989).
//
// The values are in the replicated log of package paxos. One node is the server, by a
// record in the log whose slot is its term. It grants a node a copy of a value for the
// length of a lease. Before it writes, it grants nothing more on that key, tells every
// node that may hold a copy to drop it, and waits until each has said so or its lease
// has run out. The node counts from when it sent its request, with the margin of
// package lease, the server from later.
//
// Another node becomes the server when nothing is heard of the old one, or when that
// one hands over. Writes name the term and are refused in another, so that the old
// server can do no harm, and grants rest on a read of the log that shows the term,
// so that each began before the new term did. Of the copies that earlier servers have
// granted, the new one knows only that there may be some. The record tells that: a
// server marks it before its first grant, and whoever takes over from a marked record,
// or one that has inherited the mark, writes nothing for one whole lease. The mark
// passes along the whole chain of servers.
//
// The safety sits in record.go (claim, write), Machine.get (the promise comes before the
// read), Machine.commit (when a write may go), Machine.onGrant and Machine.onInvalidate
// (what arrives late).
package cache
