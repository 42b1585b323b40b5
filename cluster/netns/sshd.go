package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// sshdFor bounds the start of all daemons.
	sshdFor  = 10 * time.Second
	sshdPoll = 20 * time.Millisecond
	sshPort  = "22"
	// sshDir is where OpenSSH's daemon wants to find an empty directory.
	sshDir = "/run/sshd"
)

// sshd finds the daemon, which is in no ordinary user's path.
func sshd() (string, error) {
	for _, path := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if found, err := exec.LookPath(path); err == nil {
			return filepath.Abs(found) // it starts itself anew by that
		}
	}
	return "", errors.New("not installed: sshd (package openssh-server)")
}

// MissingSSH says in a sentence why the nodes cannot be logged in to, nil if they can.
func MissingSSH() error {
	_, err := sshd()
	if _, kerr := exec.LookPath("ssh-keygen"); err == nil && kerr != nil {
		err = errors.New("not installed: ssh-keygen (package openssh-client)")
	}
	return err
}

// doors is the directory of what it takes to log in to the nodes of a lab.
func doors(lab string) string { return filepath.Join("/run", lab+"-ssh") }

// ServeSSH starts OpenSSH's daemon on every node, so that one can look around, or that
// the nodes can log in to each other: `ssh -F CONFIG n1`, as root, with keys that are made
// for this lab and go with it. It returns the path of that configuration. The way in is
// the controller's own, which faults do not cut.
func (l *Lab) ServeSSH(ctx context.Context) (config string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sshd in %s: %w", l.name, err)
		}
	}()
	daemon, err := sshd()
	if err != nil {
		return "", err
	}
	dir := doors(l.name)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.MkdirAll(sshDir, 0o755)); err != nil {
		return "", err
	}
	for _, key := range []string{"host", "user"} {
		if _, err := run(ctx, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", l.name,
			"-f", filepath.Join(dir, key)); err != nil {
			return "", err
		}
	}
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return "", err
	}
	files := map[string]string{"sshd_config": sshdConfig(dir), "config": l.sshConfig(dir)}
	for _, h := range l.Hosts() {
		for _, addr := range append(h.Addrs, h.Direct) {
			files["known_hosts"] += addr.String() + " " + string(host)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sshdFor)
	defer cancel()
	for _, h := range l.Hosts() {
		space := filepath.Join(namespaceDir, l.space(h.Node))
		if _, err := run(ctx, nil, "nsenter", "--net="+space, "--", daemon,
			"-f", filepath.Join(dir, "sshd_config"),
			"-E", filepath.Join(dir, string(h.Node)+".log")); err != nil {
			return "", err
		}
		if err := answers(ctx, h.Direct.String()); err != nil {
			return "", fmt.Errorf("%s: %w", h.Node, err)
		}
	}
	return filepath.Join(dir, "config"), nil
}

// answers waits until somebody takes connections.
func answers(ctx context.Context, addr string) error {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(addr, sshPort))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(sshdPoll):
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
}

// sshdConfig lets in whoever has the key of the lab, and nobody else.
func sshdConfig(dir string) string {
	return fmt.Sprintf(`HostKey %[1]s/host
AuthorizedKeysFile %[1]s/user.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
`, dir)
}

// sshConfig is what ssh -F reads. Nodes have the names that they have in the test.
func (l *Lab) sshConfig(dir string) string {
	var b strings.Builder
	for _, h := range l.Hosts() {
		fmt.Fprintf(&b, "Host %s\n  HostName %s\n", h.Node, h.Direct)
	}
	fmt.Fprintf(&b, `Host *
  User root
  IdentityFile %[1]s/user
  IdentitiesOnly yes
  UserKnownHostsFile %[1]s/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
`, dir)
	return b.String()
}
