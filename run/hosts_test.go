package run

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/remote"
)

func TestNodesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	text := "# three machines\n" +
		"n1 admin@10.0.0.1:2222 key=/k1 key=/k2 jump=root@bastion bind={{GetPrivateIP}}\n\n" +
		"b  host-b   # the second\n" +
		"n3 [fd00::3]:22 address=fd00::33 direct=10.1.0.3\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Cluster, c.NodesFile, c.Hosts = "ssh", file, []string{"n4=u@h4"}
	hosts, err := c.nodeHosts()
	if err != nil || len(hosts) != 4 {
		t.Fatalf("%d hosts, %v", len(hosts), err)
	}
	first := hosts[0]
	if first.Node != "n1" || first.SSH.User != "admin" || first.SSH.Port != 2222 ||
		first.SSH.Address != "10.0.0.1" || len(first.SSH.KeyFiles) != 2 ||
		first.SSH.Jump.String() != "root@bastion:22" || first.Bind != "{{GetPrivateIP}}" {
		t.Errorf("n1 is %+v", first)
	}
	if h := hosts[2]; h.SSH.Address != "fd00::3" || h.Address != "fd00::33" ||
		h.Direct != "10.1.0.3" {
		t.Errorf("n3 is %+v", h)
	}
	if err := c.CountHosts(); err != nil || c.Nodes != 4 {
		t.Errorf("%d nodes, %v", c.Nodes, err)
	}
	if nodes := c.nodes(); nodes[1] != "b" {
		t.Errorf("nodes are %v", nodes)
	}
}

func TestHostsThatAreRefused(t *testing.T) {
	for want, hosts := range map[string][]string{
		"name=address":   {"n1"},
		"has no address": {"n1=root@"},
		"named twice":    {"n1=a", "n1=b"},
		`port "x"`:       {"n1=a:x"},
		"want name=":     {"n1=a key="},
	} {
		c := Config{Hosts: hosts}
		if want == "want name=" {
			file := filepath.Join(t.TempDir(), "nodes")
			if err := os.WriteFile(file, []byte("n1 a key=\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			c = Config{NodesFile: file}
		}
		if _, err := c.nodeHosts(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", hosts, err, want)
		}
	}
	for want, change := range map[string]func(*Config){
		"unknown; there is local, netns, compose, ssh": func(c *Config) { c.Cluster = "docker" },
		"name the hosts with --hosts":                  func(c *Config) { c.Cluster = "ssh" },
		"leave out --hosts":                            func(c *Config) { c.Hosts = []string{"n1=a"} },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A machine's own nodes file is taken when hosts are needed and nobody names any.
func TestSiteNodes(t *testing.T) {
	site := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(site, []byte("n1 a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		cfg        Config
		site       string
	}{
		{"ssh", site, Config{Cluster: "ssh"}, site},
		{"none there", "", Config{Cluster: "ssh"}, site + "x"},
		{"local", "", Config{Cluster: "local"}, site},
		{"hosts", "", Config{Cluster: "ssh", Hosts: []string{"n1=b"}}, site},
		{"a file", "f", Config{Cluster: "ssh", NodesFile: "f"}, site},
	} {
		c.cfg.ChooseHosts(c.site)
		if c.cfg.NodesFile != c.want {
			t.Errorf("%s: the nodes file is %q, want %q", c.name, c.cfg.NodesFile, c.want)
		}
	}
}

// Who sends probes is told by reasons, and part of a verdict where it is not bash alone.
func TestProbers(t *testing.T) {
	got := probers([]remote.Prober{
		{Node: "n1"}, {Node: "n2", Bashless: "there is no bash"}, {Node: "n3"},
		{Node: "n4", Bashless: "its bash cannot send"}, {Node: "n5", Bashless: "there is no bash"},
	})
	want := []string{
		"by bash: n1, n3", "by the agent: n2, n5 (there is no bash)",
		"by the agent: n4 (its bash cannot send)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if !slices.ContainsFunc(got, byAgent) ||
		slices.ContainsFunc(probers([]remote.Prober{{Node: "n1"}}), byAgent) {
		t.Error("what is usual is told, or what is not is not")
	}
}
