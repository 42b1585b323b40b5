package run

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
)

// ReadSystem reads the declaration of the system, if it is one in a file, so that the test
// can be judged again without it, and puts the settings of one that is known by name right.
// Counted says that somebody has said how many nodes there are to be.
func (c *Config) ReadSystem(counted bool) error {
	if c.System == systems.Maelstrom {
		return c.readMaelstrom()
	}
	if !systems.IsDeclared(c.System) {
		return nil
	}
	if systems.IsFile(c.System) {
		text, err := os.ReadFile(c.System)
		if err != nil {
			return fmt.Errorf("system: %w", err)
		}
		c.Declaration = string(text)
	}
	if s, ok := systems.Native(c.System); ok {
		var err error
		if c.Settings, err = s.Placed(c.Settings); err != nil {
			return fmt.Errorf("system %s: %w", c.System, err)
		}
	}
	c.Protocol = ""
	sys, err := systems.New(c.systemOptions(""))
	if err != nil {
		return err
	}
	if !counted {
		c.Nodes = cmp.Or(sys.Deployment().Nodes, c.Nodes)
	}
	return nil
}

// starts reports whether the checker starts the nodes.
func (c Config) starts() bool { return c.Cluster != existing }

// validateDeployment says why the system's nodes cannot be started.
func (c Config) validateDeployment(sys systems.System) error {
	if c.starts() && !sys.Deployment().Startable {
		return fmt.Errorf("%s does not say how a node is started: name nodes that run already, "+
			"--nodes host:port,…", sys.Name())
	}
	return c.validatePipes(sys)
}

// lacksSeams says what cannot be done to nodes that have no clock and disk files.
func lacksSeams() nemesis.Lacks {
	return nemesis.Lacks{
		nemesis.PowerClocks: "the clocks of these nodes can only be bent from inside, by the clock " +
			"file of docs/target-api.md, which they do not know: leave it out, or use wall-jump and its " +
			"like, or faketime: true in a declaration (docs/FAULTS.md)",
		nemesis.PowerDisks: "the disks of these nodes can only be troubled from inside, by the disk " +
			"file of docs/target-api.md, which they do not know: leave it out",
	}
}

// lacks says what the cluster cannot do to these nodes; of one that does not exist
// nothing.
func (c Config) lacks() nemesis.Lacks {
	w, err := wayNamed(c.Cluster)
	sys, serr := systems.New(c.systemOptions(""))
	if err != nil || serr != nil {
		return nil
	}
	lacks := nemesis.Lacks{}
	if !sys.Deployment().Reporting {
		maps.Copy(lacks, lacksSeams())
		maps.Copy(lacks, w.lacksPlain)
	}
	maps.Copy(lacks, w.lacks(c))
	if ofLibc(sys) && w.reach != nil {
		delete(lacks, nemesis.PowerClocks)
		lacks[nemesis.PowerDurations] = "under libfaketime only the time of day can be bent, and only " +
			"by a jump, a strobe or a freeze: set \"clock\" to \"wall\""
	}
	return lacks
}

// filesDir is where the system's files are in a run's directory.
const filesDir = "files"

// takeFiles copies the system's files into the run's directory: what is changed or built
// while the test runs does not become part of it.
func takeFiles(files []string, dir string) (string, error) {
	if len(files) == 0 {
		return "", nil
	}
	own, err := filepath.Abs(filepath.Join(dir, filesDir))
	if err != nil {
		return "", fmt.Errorf("files of the system: %w", err)
	}
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("files of the system: %w", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		info, serr := os.Stat(f)
		if err := errors.Join(err, serr); err != nil {
			return "", fmt.Errorf("files of the system: %w", err)
		}
		to := filepath.Join(own, filepath.Base(f))
		if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
			return "", fmt.Errorf("files of the system: %w", err)
		}
	}
	return own, nil
}

// remoteFiles are the files of a directory as a remote cluster wants them.
func remoteFiles(dir string) ([]remote.File, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("files of the system: %w", err)
	}
	var out []remote.File
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		info, ierr := e.Info()
		if err := errors.Join(err, ierr); err != nil {
			return nil, fmt.Errorf("files of the system: %w", err)
		}
		out = append(out, remote.File{Path: e.Name(), Content: data, Mode: info.Mode().Perm()})
	}
	return out, nil
}

// nodeSpec translates what the cluster says of a node for its system.
func (c *conductor) nodeSpec(s cluster.NodeSpec) systems.NodeSpec {
	peers := make(map[string]string, len(s.Peers))
	for n, addr := range s.Peers {
		peers[string(n)] = addr
	}
	var members []systems.Member
	for _, m := range s.Members {
		members = append(members, systems.Member{
			Name: string(m.Name), Client: m.Client, Peer: m.Peer,
		})
	}
	return systems.NodeSpec{
		Name: string(s.Name), Cluster: c.test.Name + "/" + filepath.Base(c.dir), DataDir: s.DataDir,
		Bind: s.Bind, PeerBind: s.PeerBind, Peers: peers, ReadyFile: s.ReadyFile,
		ClockFile: s.ClockFile, DiskFile: s.DiskFile, Program: s.Program, Tethered: s.Tethered,
		Seed: s.Seed, Members: members, Files: s.Files, Here: c.cfg.Cluster == localWay().name,
	}
}

// command is the command line of a node. Templates that cannot be filled in there are told
// by the node itself, in its log.
func (c *conductor) command(s cluster.NodeSpec) []string {
	argv, err := c.sys.Command(c.nodeSpec(s))
	if err != nil {
		return []string{"sh", "-c", `echo "$0"; exit 1`, err.Error(), s.DataDir}
	}
	return argv
}

// others finds a node's processes outside the group of its command; nil if there are none.
func (c *conductor) others() func(cluster.NodeSpec) string {
	if c.sys.Deployment().Reporting {
		return nil
	}
	return func(s cluster.NodeSpec) string {
		script, err := c.sys.Others(c.nodeSpec(s))
		if err != nil {
			return "" // its command could not be made either
		}
		return script
	}
}

// logs finds the files of a node that are to be kept.
func (c *conductor) logs(s cluster.NodeSpec) []string {
	patterns, err := c.sys.Logs(c.nodeSpec(s))
	if err != nil {
		return nil // its command could not be made either
	}
	return patterns
}

// clientPort is where the nodes of a remote cluster listen; 0 is the cluster's choice.
func (c Config) clientPort() uint16 {
	sys, err := systems.New(c.systemOptions(""))
	if err != nil {
		return uint16(c.BasePort)
	}
	return cmp.Or(uint16(c.BasePort), sys.Deployment().Port)
}

// knownNodes lists the nodes of hosts or endpoints, nil if only their number is known.
func (c Config) knownNodes() []nemesis.Node {
	if list, err := c.endpoints(); err == nil && len(list) > 0 {
		nodes := make([]nemesis.Node, len(list))
		for i, e := range list {
			nodes[i] = e.node
		}
		return nodes
	}
	hosts, err := c.nodeHosts()
	if err != nil {
		return nil
	}
	nodes := make([]nemesis.Node, len(hosts))
	for i, h := range hosts {
		nodes[i] = h.Node
	}
	return slices.Clip(nodes)
}
