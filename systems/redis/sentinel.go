package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// hello is where Sentinels introduce themselves, on every server that they watch, every
	// two seconds.
	hello = "__sentinel__:hello"
	// askTime is how long a Sentinel may take before another one is asked.
	askTime = 250 * time.Millisecond
)

// known returns the Sentinels that were heard of, those on the endpoint's host first. If none
// was, it listens at the endpoint for one, as long as there is time.
func (c *Client) known(ctx context.Context, endpoint string) ([]string, error) {
	c.mu.Lock()
	all := slices.Clone(c.sentinels)
	c.mu.Unlock()
	if all == nil {
		first, err := c.hear(ctx, endpoint)
		if err != nil {
			return nil, fmt.Errorf("hear of a Sentinel at %s: %w", endpoint, err)
		}
		v, err := c.ask(ctx, first)
		if err != nil {
			return nil, err
		}
		all = v.sentinels
		c.mu.Lock()
		c.sentinels = slices.Clone(all)
		c.mu.Unlock()
	}
	host := hostOf(endpoint)
	slices.SortStableFunc(all, func(a, b string) int {
		return cmp.Compare(distance(a, host), distance(b, host))
	})
	return all, nil
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

func distance(address, host string) int {
	if hostOf(address) == host {
		return 0
	}
	return 1
}

// hear waits for a Sentinel to introduce itself to the server at the endpoint.
func (c *Client) hear(ctx context.Context, endpoint string) (string, error) {
	db := redis.NewClient(options(endpoint))
	defer db.Close()
	sub := db.Subscribe(ctx, hello)
	defer sub.Close()
	for {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			return "", err
		}
		// address,port,id,epoch,name,and the primary's address,port,epoch
		words := strings.Split(m.Payload, ",")
		if len(words) == 8 && words[4] == c.master {
			return net.JoinHostPort(words[0], words[1]), nil
		}
	}
}

// primary asks one Sentinel after the other where the primary is. Each session begins with
// the one that is nearest to its node, which may be the last to hear of a change.
func (c *Client) primary(ctx context.Context, endpoint string) (string, error) {
	sentinels, err := c.known(ctx, endpoint)
	if err != nil {
		return "", err
	}
	var errs []error
	for _, s := range sentinels {
		address, err := c.primaryBy(ctx, s)
		if err == nil {
			return address, nil
		}
		errs = append(errs, fmt.Errorf("sentinel %s: %w", s, err))
	}
	return "", errors.Join(errs...)
}

func (c *Client) primaryBy(ctx context.Context, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s := redis.NewSentinelClient(options(sentinel))
	defer s.Close()
	words, err := s.GetMasterAddrByName(ctx, c.master).Result()
	if err != nil {
		return "", err
	}
	if len(words) != 2 {
		return "", fmt.Errorf("the primary is at %q", words)
	}
	return net.JoinHostPort(words[0], words[1]), nil
}

// view is how one Sentinel sees the others and those that it watches.
type view struct {
	primary string
	epoch   string
	// sentinels are all that it knows, itself among them, and replicas those of the
	// primary, sorted.
	sentinels, replicas []string
	// troubles are what it says that is not as it should be.
	troubles []string
}

func (c *Client) ask(ctx context.Context, sentinel string) (view, error) {
	v, err := c.askAll(ctx, sentinel)
	if err != nil {
		return view{}, fmt.Errorf("ask Sentinel %s: %w", sentinel, err)
	}
	return v, nil
}

func (c *Client) askAll(ctx context.Context, sentinel string) (view, error) {
	s := redis.NewSentinelClient(options(sentinel))
	defer s.Close()
	primary, err := s.Master(ctx, c.master).Result()
	if err != nil {
		return view{}, err
	}
	replicas, err := s.Replicas(ctx, c.master).Result()
	if err != nil {
		return view{}, err
	}
	others, err := s.Sentinels(ctx, c.master).Result()
	if err != nil {
		return view{}, err
	}
	v := view{
		primary: addressOf(primary), epoch: primary["config-epoch"], sentinels: []string{sentinel},
	}
	flags := func(of map[string]string, want string) {
		if of["flags"] != want {
			v.troubles = append(v.troubles, fmt.Sprintf("Sentinel %s calls %s %s", sentinel,
				addressOf(of), of["flags"]))
		}
	}
	flags(primary, "master")
	for _, r := range replicas {
		flags(r, "slave")
		v.replicas = append(v.replicas, addressOf(r))
	}
	for _, o := range others {
		flags(o, "sentinel")
		v.sentinels = append(v.sentinels, addressOf(o))
	}
	slices.Sort(v.replicas)
	slices.Sort(v.sentinels)
	return v, nil
}

func addressOf(of map[string]string) string { return net.JoinHostPort(of["ip"], of["port"]) }

// Probe fails unless all is as it should be after a failover is over: every Sentinel knows
// the same primary, in the same epoch, and the same others; none misses anybody; the primary
// says that it is one, all replicas are in step with it; and the node at the endpoint serves.
// A former primary that was cut off stays one for seconds after it was not any more, and
// until then nobody can say what is left.
func (c *Client) Probe(ctx context.Context, endpoint string) error {
	if err := serves(ctx, endpoint); err != nil {
		return fmt.Errorf("%s: %w", endpoint, err)
	}
	sentinels, err := c.known(ctx, endpoint)
	if err != nil {
		return err
	}
	var first view
	for i, s := range sentinels {
		v, err := c.ask(ctx, s)
		if err != nil {
			return err
		}
		if i == 0 {
			first = v
		}
		if err := first.agrees(v); err != nil {
			return fmt.Errorf("sentinels %s and %s: %w", sentinels[0], s, err)
		}
	}
	return c.inStep(ctx, first)
}

// serves reads something at a node, which one that is loading its data refuses.
func serves(ctx context.Context, endpoint string) error {
	l := dial(endpoint)
	defer l.close()
	return l.conn.Exists(ctx, "ordeal-probe").Err()
}

// agrees says in what two views differ, or what one of them says that is wrong.
func (v view) agrees(o view) error {
	switch {
	case len(o.troubles) > 0:
		return errors.New(strings.Join(o.troubles, ", "))
	case v.primary != o.primary || v.epoch != o.epoch:
		return fmt.Errorf("the primary is %s (epoch %s), and %s (epoch %s)", v.primary, v.epoch,
			o.primary, o.epoch)
	case !slices.Equal(v.replicas, o.replicas):
		return fmt.Errorf("the replicas are %v, and %v", v.replicas, o.replicas)
	case !slices.Equal(v.sentinels, o.sentinels):
		return fmt.Errorf("the Sentinels are %v, and %v", v.sentinels, o.sentinels)
	default:
		return nil
	}
}

// inStep asks all servers what they are.
func (c *Client) inStep(ctx context.Context, v view) error {
	for _, address := range append([]string{v.primary}, v.replicas...) {
		l := dial(address)
		r, err := l.role(ctx)
		l.close()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", address, err)
		case address == v.primary && !r.primary:
			return fmt.Errorf("%s is to be the primary and follows %s", address, r.follows)
		case address != v.primary && (r.primary || r.follows != v.primary || !r.connected):
			return fmt.Errorf("%s is not in step with the primary %s", address, v.primary)
		}
	}
	return nil
}
