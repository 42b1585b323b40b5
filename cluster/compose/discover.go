package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// LabelNode is the label of a container that is a node, with the node's name.
	LabelNode = "dev.ordeal.node"
	// labelProject and labelService are compose's own, of all its versions.
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	// networkNodes and networkControl are networks with a meaning, by the end of their
	// names: what faults cut, and the controller's own way to the nodes.
	networkNodes   = "nodes"
	networkControl = "control"
)

// Container is a node that runs.
type Container struct {
	Node    nemesis.Node
	ID      string
	Project string
	// Addresses are those at which clients and peers reach it, Direct is the one of the
	// controller's own network, which may be one of them.
	Addresses []netip.Addr
	Direct    netip.Addr
}

// Discover finds the nodes of a compose project that run, ordered by their names. Nodes
// are the services with the given names; without names the containers that have
// LabelNode. An empty project is the only one that has such containers.
func Discover(
	ctx context.Context, docker []string, project string, names []nemesis.Node,
) ([]Container, error) {
	if len(docker) == 0 {
		docker = []string{"docker"}
	}
	filter := "label=" + LabelNode
	if len(names) > 0 {
		filter = "label=" + labelService
	}
	ps := []string{"ps", "-q", "--no-trunc", "--filter", filter}
	if project != "" {
		ps = append(ps, "--filter", "label="+labelProject+"="+project)
	}
	ids, err := output(ctx, docker, ps...)
	if err != nil {
		return nil, err
	}
	if len(strings.Fields(string(ids))) == 0 {
		return nil, errors.New("no container of a node runs: docker compose up -d")
	}
	list, err := output(ctx, docker, append([]string{"inspect"}, strings.Fields(string(ids))...)...)
	if err != nil {
		return nil, err
	}
	return parse(list, names)
}

func output(ctx context.Context, docker []string, args ...string) ([]byte, error) {
	argv := append(slices.Clone(docker), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("docker %s: %w: %s", args[0], err,
			strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// inspected is what is wanted of `docker inspect`.
type inspected struct {
	ID     string `json:"Id"`
	Config struct {
		Labels map[string]string
	}
	NetworkSettings struct {
		Networks map[string]struct {
			IPAddress         string
			GlobalIPv6Address string
		}
	}
}

// parse reads what docker says of containers.
func parse(list []byte, names []nemesis.Node) ([]Container, error) {
	var all []inspected
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	var nodes []Container
	for _, in := range all {
		c := Container{
			ID: in.ID, Project: in.Config.Labels[labelProject],
			Node: nemesis.Node(in.Config.Labels[LabelNode]),
		}
		if len(names) > 0 {
			c.Node = nemesis.Node(in.Config.Labels[labelService])
			if !slices.Contains(names, c.Node) {
				continue
			}
		}
		if err := c.address(in); err != nil {
			return nil, err
		}
		nodes = append(nodes, c)
	}
	slices.SortFunc(nodes, func(a, b Container) int {
		return strings.Compare(string(a.Node), string(b.Node))
	})
	return nodes, check(nodes, names)
}

// address sorts a container's addresses by what they are for.
func (c *Container) address(in inspected) error {
	networks := in.NetworkSettings.Networks
	byName := make([]string, 0, len(networks))
	for name := range networks {
		byName = append(byName, name)
	}
	slices.Sort(byName)
	var nodes, others []netip.Addr
	for _, name := range byName {
		for _, text := range []string{networks[name].IPAddress, networks[name].GlobalIPv6Address} {
			if text == "" {
				continue
			}
			a, err := netip.ParseAddr(text)
			if err != nil {
				return fmt.Errorf("address of %s: %w", c.Node, err)
			}
			switch {
			case strings.HasSuffix(name, "_"+networkNodes):
				nodes = append(nodes, a)
			default:
				others = append(others, a)
			}
			if strings.HasSuffix(name, "_"+networkControl) && !c.Direct.IsValid() {
				c.Direct = a
			}
		}
	}
	if c.Addresses = nodes; len(nodes) == 0 {
		c.Addresses = others
	}
	if len(c.Addresses) == 0 {
		return fmt.Errorf("container %.12s of %s has no address", c.ID, c.Node)
	}
	if !c.Direct.IsValid() {
		c.Direct = c.Addresses[0]
	}
	return nil
}

// check finds what is missing or twice.
func check(nodes []Container, names []nemesis.Node) error {
	var errs []error
	for i, c := range nodes {
		if c.Project != nodes[0].Project {
			errs = append(errs, fmt.Errorf("nodes run in the projects %s and %s: choose one",
				nodes[0].Project, c.Project))
			break
		}
		if i > 0 && c.Node == nodes[i-1].Node {
			errs = append(errs, fmt.Errorf("two containers are node %s", c.Node))
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(nodes, func(c Container) bool { return c.Node == n }) {
			errs = append(errs, fmt.Errorf("no container of the service %s runs", n))
		}
	}
	return errors.Join(errs...)
}
