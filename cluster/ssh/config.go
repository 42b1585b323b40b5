package ssh

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Hop is a machine to log in to.
type Hop struct {
	// Address is a name or an IP address.
	Address string
	// Port is 22 if it is 0.
	Port int
	// User logs in; empty means root. Anybody else needs sudo without a password.
	User string
	// KeyFiles are private keys of this machine alone; none means those of Config.
	KeyFiles []string
}

// Host is a node's machine.
type Host struct {
	Hop
	// Jump, if not nil, is the machine through which this one is reached.
	Jump *Hop
}

// Config says how nodes are reached.
type Config struct {
	Hosts map[nemesis.Node]Host
	// KnownHosts are files in OpenSSH's format with the public keys of all machines.
	// A machine whose key they do not have is not talked to.
	KnownHosts []string
	// KeyFiles are private keys without a passphrase.
	KeyFiles []string
	// Agent is the socket of an SSH agent, usually the value of SSH_AUTH_SOCK. Where
	// there are key files the agent is not asked: each key that it offers counts as an
	// attempt, and servers allow few.
	Agent string
	// Logger hears of connections made and lost; nil discards that.
	Logger *slog.Logger
	// DialTime bounds one attempt to connect and log in; 0 means 10 s.
	DialTime time.Duration
	// Attempts is how often in a row one call tries to connect; 0 means 3.
	Attempts int
	// CommandTime bounds a command whose context has no end; 0 means 2 min.
	CommandTime time.Duration
	// AliveEvery is how often a connection is asked whether it is alive; one that has
	// not answered for three times as long is given up. 0 means 5 s.
	AliveEvery time.Duration
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ssh: "+format, args...))
	}
	if len(c.Hosts) == 0 {
		bad("no hosts")
	}
	for n, h := range c.Hosts {
		hops := []Hop{h.Hop}
		if h.Jump != nil {
			hops = append(hops, *h.Jump)
		}
		for _, hop := range hops {
			if hop.Address == "" {
				bad("%s: no address", n)
			}
			if hop.Port < 0 || hop.Port > 65535 {
				bad("%s: port %d of %s", n, hop.Port, hop.Address)
			}
			if len(hop.KeyFiles)+len(c.KeyFiles) == 0 && c.Agent == "" {
				bad("%s: neither a key file nor an agent to log in to %s", n, hop.Address)
			}
		}
	}
	if len(c.KnownHosts) == 0 {
		bad("no file of known hosts: machines must be known before they are talked to")
	}
	if c.DialTime < 0 || c.CommandTime < 0 || c.AliveEvery < 0 || c.Attempts < 0 {
		bad("negative time or number of attempts")
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DialTime == 0 {
		c.DialTime = 10 * time.Second
	}
	if c.Attempts == 0 {
		c.Attempts = 3
	}
	if c.CommandTime == 0 {
		c.CommandTime = 2 * time.Minute
	}
	if c.AliveEvery == 0 {
		c.AliveEvery = 5 * time.Second
	}
	return c
}

// UserFiles are the files of the user who runs this program that OpenSSH would read
// too, and that exist: known hosts, and private keys.
func UserFiles() (knownHosts, keys []string) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, nil
	}
	existing := func(names ...string) (found []string) {
		for _, name := range names {
			path := filepath.Join(home, ".ssh", name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				found = append(found, path)
			}
		}
		return found
	}
	return existing("known_hosts", "known_hosts2"), existing("id_ed25519", "id_ecdsa", "id_rsa")
}

func (h Hop) address() string {
	port := h.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(h.Address, strconv.Itoa(port))
}

func (h Hop) user() string {
	if h.User == "" {
		return "root"
	}
	return h.User
}

// String is how a person would write it.
func (h Hop) String() string { return h.user() + "@" + h.address() }

// as is what makes a command run as root.
func (h Hop) as() []string {
	if h.user() == "root" {
		return nil
	}
	return []string{"sudo", "-n", "--"}
}
