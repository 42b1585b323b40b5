// Package netns runs the hosts of a cluster as network namespaces of one Linux machine:
// each node has its own addresses, its own firewall and its own loopback, and all share
// files and processes with the machine. It takes root, iproute2 and util-linux, needs no
// image, and is there in a fraction of a second, so that what is done to hosts over SSH
// can be tested with the same commands anywhere.
//
// The nodes hang on a bridge in a namespace of its own, never in the machine's: a running
// Docker daemon lets no bridged frame of the machine's own namespace through. The
// controller stays where it is and reaches the bridge through one veth pair.
//
// Processes enter a node with nsenter, which changes nothing but the network. `ip netns
// exec` would give them a mount namespace each, which pins every mount of the machine.
//
// Every node has two addresses and the controller, too, in two networks: one for
// clients and peers, which faults cut, and one for the controller's own questions.
package netns

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// namespaceDir is where iproute2 keeps the names.
	namespaceDir = "/run/netns"
	// Resource is the kind of the ledger's resources: all namespaces of one lab.
	Resource = "namespaces"
	// slots is how many labs can be there at a time.
	slots = 64
	// nodesMax is what fits into a lab's networks.
	nodesMax = 200
	// removeFor bounds the ending of what runs in a namespace.
	removeFor = 5 * time.Second
)

// ResourceLog records what is made outside the program, before it is made.
// *nemesis.Ledger is one.
type ResourceLog interface {
	ResourceMaking(nemesis.Resource) error
	ResourceGone(nemesis.Resource) error
}

// Lab is a set of namespaces that is up.
type Lab struct {
	name  string
	slot  int
	nodes []nemesis.Node
	log   ResourceLog
}

// Missing says in a sentence why this machine cannot have a lab, nil if it can, as far
// as one can see without trying.
func Missing() error {
	if runtime.GOOS != "linux" {
		return errors.New("network namespaces are Linux's")
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces take root: run it with sudo")
	}
	var lacking []string
	for tool, pkg := range map[string]string{
		"ip": "iproute2", "nsenter": "util-linux", "setsid": "util-linux", "flock": "util-linux",
		"iptables": "iptables", "ip6tables": "iptables",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking = append(lacking, fmt.Sprintf("%s (package %s)", tool, pkg))
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("not installed: %s", strings.Join(lacking, ", "))
	}
	return nil
}

// Up makes the namespaces of a lab. After an error nothing is left.
func Up(ctx context.Context, nodes []nemesis.Node, log ResourceLog) (*Lab, error) {
	if len(nodes) == 0 || len(nodes) > nodesMax {
		return nil, fmt.Errorf("network namespaces for %d nodes: want 1 to %d", len(nodes), nodesMax)
	}
	if err := Missing(); err != nil {
		return nil, err
	}
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	l := &Lab{name: "ordeal-" + hex.EncodeToString(id[:]), nodes: nodes, log: log}
	if err := log.ResourceMaking(l.resource()); err != nil {
		return nil, err
	}
	if err := l.build(ctx); err != nil {
		return nil, fmt.Errorf("network namespaces %s: %w", l.name, errors.Join(err, l.Close(ctx)))
	}
	return l, nil
}

func (l *Lab) resource() nemesis.Resource {
	return nemesis.Resource{Kind: Resource, Name: l.name}
}

// Name is the name that all namespaces of the lab begin with.
func (l *Lab) Name() string { return l.name }

// Shell returns the shell on the nodes.
func (l *Lab) Shell() *Shell { return &Shell{lab: l.name} }

func (l *Lab) hub() string                        { return l.name + "-hub" }
func (l *Lab) space(n nemesis.Node) string        { return namespace(l.name, n) }
func namespace(lab string, n nemesis.Node) string { return lab + "-" + string(n) }

// The networks: the first for clients and peers, the second for the controller's own.
func (l *Lab) address(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(213 + network), byte(l.slot), byte(host)})
}

// address6 is the node's address of the first network in IPv6.
func (l *Lab) address6(host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x0d, 7: byte(l.slot), 15: byte(host)})
}

// controller is the last part of the controller's addresses.
const controller = 254

// Hosts are the nodes as a remote cluster wants them.
func (l *Lab) Hosts() []remote.Host {
	hosts := make([]remote.Host, len(l.nodes))
	for i, n := range l.nodes {
		hosts[i] = remote.Host{
			Node: n, Addrs: []netip.Addr{l.address(0, i+1), l.address6(i + 1)},
			Direct: l.address(1, i+1),
		}
	}
	return hosts
}

// Control is the address from which clients come.
func (l *Lab) Control() netip.Addr { return l.address(0, controller) }

// build makes the namespaces, from the hub outwards.
func (l *Lab) build(ctx context.Context) error {
	var spaces, links strings.Builder
	fmt.Fprintf(&spaces, "netns add %s\n", l.hub())
	for i, n := range l.nodes {
		fmt.Fprintf(&spaces, "netns add %s\n", l.space(n))
		fmt.Fprintf(&links, "link add port%d netns %s type veth peer name eth0 netns %s\n",
			i+1, l.hub(), l.space(n))
	}
	if err := batch(ctx, "", spaces.String()); err != nil {
		return err
	}
	if err := l.plug(ctx); err != nil {
		return err
	}
	if err := batch(ctx, "", links.String()); err != nil {
		return err
	}
	var hub strings.Builder
	hub.WriteString("link add bridge type bridge\nlink set lo up\nlink set bridge up\n" +
		"link set control master bridge\nlink set control up\n")
	for i, n := range l.nodes {
		fmt.Fprintf(&hub, "link set port%d master bridge\nlink set port%d up\n", i+1, i+1)
		if err := batch(ctx, l.space(n), fmt.Sprintf("link set lo up\nlink set eth0 up\n"+
			"address add %s/24 dev eth0\naddress add %s/24 dev eth0\n"+
			"address add %s/64 dev eth0 nodad\n",
			l.address(0, i+1), l.address(1, i+1), l.address6(i+1))); err != nil {
			return err
		}
	}
	return batch(ctx, l.hub(), hub.String())
}

// plug joins the machine's own namespace to the hub, in the first slot that is free.
func (l *Lab) plug(ctx context.Context) error {
	var last error
	for l.slot = range slots {
		if last = l.free(ctx); last != nil {
			continue
		}
		// Of two labs that want one slot the second finds the name taken.
		last = batch(ctx, "", fmt.Sprintf("link add %s type veth peer name control netns %s\n",
			l.plugName(), l.hub()))
		if last == nil {
			return batch(ctx, "", fmt.Sprintf("address add %s/24 dev %[3]s\n"+
				"address add %[2]s/24 dev %[3]s\naddress add %[4]s/64 dev %[3]s nodad\n"+
				"link set %[3]s up\n", l.address(0, controller), l.address(1, controller),
				l.plugName(), l.address6(controller)))
		}
	}
	return fmt.Errorf("none of %d networks is free; the last: %w", slots, last)
}

func (l *Lab) plugName() string { return "ordeal" + strconv.Itoa(l.slot) }

// free says whether the machine has no way into the networks of the slot yet.
func (l *Lab) free(ctx context.Context) error {
	for network := range 2 {
		prefix := netip.PrefixFrom(l.address(network, 0), 24)
		for _, which := range []string{"root", "match"} {
			out, err := run(ctx, nil, "ip", "-4", "route", "show", which, prefix.String())
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(out)) {
				if !strings.HasPrefix(line, "default ") {
					return fmt.Errorf("%s is in use: %s", prefix, strings.TrimSpace(line))
				}
			}
		}
	}
	return nil
}

// Close ends everything that runs in the lab and takes it away. It may be called more
// than once.
func (l *Lab) Close(ctx context.Context) error {
	if err := Remove(ctx, l.name); err != nil {
		return err
	}
	return l.log.ResourceGone(l.resource())
}

// Remove takes a lab away by its name, whoever made it, with everything that runs in
// it. One that is not there is no error.
func Remove(ctx context.Context, lab string) error {
	if !strings.HasPrefix(lab, "ordeal-") || strings.ContainsAny(lab, "/*?[\\") {
		return fmt.Errorf("%q is no name of ours", lab)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*removeFor)
	defer cancel()
	paths, err := filepath.Glob(filepath.Join(namespaceDir, lab+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		space := filepath.Base(path)
		if err := evict(ctx, space); err != nil {
			errs = append(errs, fmt.Errorf("namespace %s: %w", space, err))
			continue
		}
		if space == lab+"-hub" {
			// With the pair the machine's own end is gone at once, not when the kernel
			// gets round to it. A lab that came to nothing has none.
			_ = batch(ctx, space, "link delete control\n")
		}
		errs = append(errs, batch(ctx, "", "netns delete "+space+"\n"))
	}
	return errors.Join(append(errs, os.RemoveAll(doors(lab)))...)
}

// evict ends all processes in a namespace.
func evict(ctx context.Context, space string) error {
	ctx, cancel := context.WithTimeout(ctx, removeFor)
	defer cancel()
	for {
		out, err := run(ctx, nil, "ip", "netns", "pids", space)
		if err != nil {
			return err
		}
		pids := strings.Fields(string(out))
		if len(pids) == 0 {
			return nil
		}
		for _, text := range pids {
			if pid, err := strconv.Atoi(text); err == nil && pid > 1 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("end of the processes %s: %w", strings.Join(pids, " "), ctx.Err())
		}
	}
}

// batch runs a script of iproute2, in a namespace if one is named.
func batch(ctx context.Context, space, script string) error {
	args := []string{"-batch", "-"}
	if space != "" {
		args = append([]string{"-n", space}, args...)
	}
	_, err := run(ctx, []byte(script), "ip", args...)
	return err
}

func run(ctx context.Context, stdin []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", remote.CommandLine(append([]string{name}, args...)),
			err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
