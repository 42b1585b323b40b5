package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

const (
	// callLimit bounds one exchange over the control socket.
	callLimit = 5 * time.Second
	// dirLimit leaves room for the socket's name within the kernel's 107 bytes.
	dirLimit = 80
)

// Why a daemon ended.
const (
	reasonStop   = "stop"
	reasonLease  = "lease"
	reasonSignal = "signal"
)

// DaemonConfig is what all daemons are started with.
type DaemonConfig struct {
	// Dir belongs to the daemon alone.
	Dir string
	// Instance is the controller's name for this daemon.
	Instance string
	// Lease is how long it lives without a word of its controller.
	Lease time.Duration
}

// Validate lists everything that is wrong.
func (c DaemonConfig) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Dir) || len(c.Dir) > dirLimit {
		errs = append(errs, fmt.Errorf("directory %q is not an absolute path of at most %d bytes",
			c.Dir, dirLimit))
	}
	if c.Instance == "" {
		errs = append(errs, errors.New("the instance has no name"))
	}
	if c.Lease < time.Second {
		errs = append(errs, fmt.Errorf("lease %v is less than a second", c.Lease))
	}
	return errors.Join(errs...)
}

// service is what a daemon does.
type service interface {
	// kind is "queue" or "stall".
	kind() string
	// run works until ctx ends.
	run(ctx context.Context) error
	// describe adds to a status.
	describe(s *Status)
	// handle answers what is not answered for all daemons alike.
	handle(r request) (answer, error)
}

// request is what comes over the control socket, one line of JSON.
type request struct {
	Do    string `json:"do"`
	Rules *Rules `json:"rules,omitempty"`
}

// answer is what goes back.
type answer struct {
	Status *Status `json:"status,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Requests that all daemons answer.
const (
	doStatus = "status"
	doStop   = "stop"
	doSet    = "set"
)

// files are those in a daemon's directory.
type files string

func (d files) socket() string { return filepath.Join(string(d), "control.sock") }
func (d files) lock() string   { return filepath.Join(string(d), "lock") }
func (d files) begun() string  { return filepath.Join(string(d), "begun.json") }
func (d files) last() string   { return filepath.Join(string(d), "last.json") }
func (d files) log() string    { return filepath.Join(string(d), "log") }

// daemon is a service with a directory, a control socket and a lease.
type daemon struct {
	cfg     DaemonConfig
	service service
	base    time.Time
	end     context.CancelCauseFunc
	lease   *time.Timer

	mu     sync.Mutex // held while a request is answered
	closed bool
}

// errEnd is why a daemon was ended in order.
type errEnd string

func (e errEnd) Error() string { return "ended: " + string(e) }

// serve runs a daemon until it is stopped, its lease ends, or ctx does. Open makes the
// service once the directory is this daemon's alone; ready is called when it answers.
func serve(
	ctx context.Context, cfg DaemonConfig, open func() (service, error), ready func() error,
) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	dir := files(cfg.Dir)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the daemon's directory: %w", err)
	}
	lock, err := takeLock(ctx, dir.lock())
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	svc, err := open()
	if err != nil {
		return err
	}
	if err := errors.Join(remove(dir.last()), remove(dir.socket())); err != nil {
		return err
	}
	listener, err := net.Listen("unix", dir.socket())
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	run, end := context.WithCancelCause(ctx)
	defer end(nil)
	d := &daemon{cfg: cfg, service: svc, base: time.Now(), end: end}
	d.lease = time.AfterFunc(cfg.Lease, crash.Guard(func() { end(errEnd(reasonLease)) }))
	defer d.lease.Stop()
	if err := writeJSON(dir.begun(), d.status()); err != nil {
		return errors.Join(err, listener.Close())
	}
	var wg sync.WaitGroup
	wg.Go(crash.Guard(func() { d.accept(listener, &wg) }))
	if err := ready(); err != nil {
		end(err)
	}
	runErr := svc.run(run)
	err = d.farewell(run, runErr)
	_ = listener.Close()
	wg.Wait()
	return errors.Join(runErr, err)
}

// farewell writes the last status; from then on no request is answered.
func (d *daemon) farewell(run context.Context, runErr error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	s := d.status()
	s.State = Ended
	var end errEnd
	switch cause := context.Cause(run); {
	case runErr != nil:
		s.Reason = runErr.Error()
	case errors.As(cause, &end):
		s.Reason = string(end)
	default:
		s.Reason = reasonSignal
	}
	return writeJSON(files(d.cfg.Dir).last(), s)
}

func (d *daemon) status() Status {
	s := Status{
		Version: ProtocolVersion, Kind: d.service.kind(), State: Running,
		Instance: d.cfg.Instance, PID: os.Getpid(), Up: time.Since(d.base),
	}
	d.service.describe(&s)
	return s
}

// accept answers on the control socket until it is closed.
func (d *daemon) accept(listener net.Listener, wg *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		wg.Go(crash.Guard(func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(callLimit))
			var r request
			if json.NewDecoder(conn).Decode(&r) != nil {
				return // nobody is there to be told
			}
			a, err := d.answer(r)
			if err != nil {
				a.Error = err.Error()
			}
			_ = json.NewEncoder(conn).Encode(a)
		}))
	}
}

func (d *daemon) answer(r request) (answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return answer{}, errors.New("the daemon is about to end")
	}
	a := answer{}
	var err error
	switch r.Do {
	case doStop:
		d.end(errEnd(reasonStop))
	case doStatus:
	default:
		a, err = d.service.handle(r)
	}
	if d.lease.Stop() {
		d.lease.Reset(d.cfg.Lease)
	}
	s := d.status()
	a.Status = &s
	return a, err
}

// call sends one request to the daemon of a directory. It fails with errNoDaemon when
// none listens.
func call(ctx context.Context, dir string, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", files(dir).socket())
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNoDaemon, err)
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return answer{}, fmt.Errorf("ask the daemon: %w", err)
	}
	var a answer
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&a); err != nil {
		return answer{}, fmt.Errorf("the daemon's answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

var errNoDaemon = errors.New("no daemon answers")

// inspect says what is known of a directory's daemon, whether or not it runs; asking it
// renews its lease.
func inspect(ctx context.Context, dir, kind string) (Status, error) {
	a, err := call(ctx, dir, request{Do: doStatus})
	if err == nil {
		return *a.Status, nil
	}
	running, lockErr := locked(files(dir).lock())
	if lockErr != nil {
		return Status{}, lockErr
	}
	if running {
		return Status{}, fmt.Errorf("the daemon in %s runs and does not answer: %w", dir, err)
	}
	s := Status{Version: ProtocolVersion, Kind: kind, State: Absent}
	begun, err := readStatus(files(dir).begun())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	last, err := readStatus(files(dir).last())
	if errors.Is(err, fs.ErrNotExist) {
		s = begun
		s.State, s.Queue, s.Up = Dead, nil, 0
		return s, nil
	}
	return last, err
}

// remove removes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func readStatus(path string) (Status, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// tail returns the end of a log, for an error message.
func tail(path string) string {
	const most = 2000
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return string(text)
}
