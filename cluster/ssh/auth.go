package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// loadKeys reads private keys, each file once.
func loadKeys(files []string, keys map[string]ssh.Signer) error {
	var errs []error
	for _, file := range files {
		if keys[file] != nil {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("ssh key: %w", err))
			continue
		}
		signer, err := ssh.ParsePrivateKey(pem)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			err = errors.New("it has a passphrase: put it into an agent, and name no key file")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("ssh key %s: %w", file, err))
			continue
		}
		keys[file] = signer
	}
	return errors.Join(errs...)
}

// logIn returns how to log in to a machine, and what to call afterwards.
func (s *Shell) logIn(ctx context.Context, h Hop) (ssh.AuthMethod, func(), error) {
	files := h.KeyFiles
	if len(files) == 0 {
		files = s.cfg.KeyFiles
	}
	if len(files) > 0 {
		var signers []ssh.Signer
		for _, f := range files {
			signers = append(signers, s.keys[f])
		}
		return ssh.PublicKeys(signers...), func() {}, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.cfg.Agent)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh agent: %w", err)
	}
	// An agent may ask a person, who may not be there.
	stop := context.AfterFunc(ctx, crash.Guard(func() { _ = conn.Close() }))
	done := func() {
		stop()
		_ = conn.Close()
	}
	return ssh.PublicKeysCallback(agent.NewClient(conn).Signers), done, nil
}

// hostKeys verifies the keys of machines.
type hostKeys struct {
	check ssh.HostKeyCallback
	files []string
}

func loadHostKeys(files []string) (*hostKeys, error) {
	check, err := knownhosts.New(files...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("known hosts: %w: make it with ssh-keyscan", err)
	}
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return &hostKeys{check: check, files: files}, nil
}

// noKey is a key that nobody has, to ask which keys are known.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// algorithms returns the kinds of keys that are known of a machine. A server has keys
// of several kinds, and shows the one that it was asked for: asking for another than
// the known one would look like a wrong key.
func (k *hostKeys) algorithms(address string) ([]string, error) {
	var (
		unknown *knownhosts.KeyError
		kinds   []string
	)
	// The address is a name, which need not be resolved here.
	err := k.check(address, &net.TCPAddr{IP: net.IPv4zero}, noKey{})
	if !errors.As(err, &unknown) {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	for _, known := range unknown.Want {
		kind := known.Key.Type()
		if kind == ssh.KeyAlgoRSA {
			kinds = append(kinds, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		kinds = append(kinds, kind)
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("%w: no key of %s is in %q: add it with ssh-keyscan, and compare it",
			ErrHostKey, address, k.files)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), nil
}

// verify is an ssh.HostKeyCallback.
func (k *hostKeys) verify(address string, from net.Addr, key ssh.PublicKey) error {
	if err := k.check(address, from, key); err != nil {
		return fmt.Errorf("%w: %s shows %s, which is not the key in %q: %w", ErrHostKey, address,
			ssh.FingerprintSHA256(key), k.files, err)
	}
	return nil
}
