package etcd

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
)

// acquired asks for a lock, whose service does what it is told to, and returns the answer.
func acquired(
	t *testing.T, s native.Session, f *fake, lock func(key string),
) (history.Value, error) {
	t.Helper()
	f.lock = func(name string, lease int64) (string, error) {
		key := leaseKey(name, lease)
		lock(key)
		return key, nil
	}
	text, err := invoke(t, s, "acquire", "500")
	v, perr := history.ParseValue([]byte(text))
	if perr != nil {
		t.Fatal(perr)
	}
	return v, err
}

// TestLock: the token is the revision at which the key was created, the tenure counts from
// the call, and a release takes the key away, once.
func TestLock(t *testing.T) {
	for _, object := range []string{"lock", "fenced"} {
		f, at := serveFake(t)
		s := open(t, object, at, "lock-ttl=9")
		f.put("else", "")
		got, err := acquired(t, s, f, func(key string) {
			if !strings.HasPrefix(key, "ordeal/"+object+"/k/") {
				t.Errorf("its key is %s", key)
			}
			f.put(key, "")
			f.put("else", "")
		})
		if err != nil || got.String() != `{"ttl_ms":9000,"token":3}` {
			t.Errorf("%s: %s, %v", object, got, err)
		}
		if _, err := invoke(t, s, "release", "3"); err != nil || len(f.at(f.revision)) != 1 {
			t.Errorf("%s: the release: %v, and there are %v", object, err, f.at(f.revision))
		}
		if _, err := invoke(t, s, "release", "3"); !history.IsDefinite(err) {
			t.Errorf("%s: a release of what nobody has: %v", object, err)
		}
	}
}

// TestLockLost: what became of a key that is gone when the grant arrives is looked up. To
// have had the lock for a moment is enough; to have been behind another key for all the time
// is not.
func TestLockLost(t *testing.T) {
	for _, c := range []struct {
		name string
		lock func(f *fake, key, other string)
		want string
	}{
		{"ended behind the other", func(f *fake, key, other string) {
			f.put(key, "")
			f.del(key)
			f.del(other)
		}, `{"ttl_ms":2000,"held":false,"token":3}`},
		{"ended after the other", func(f *fake, key, other string) {
			f.put(key, "")
			f.del(other)
			f.del(key)
		}, `{"ttl_ms":2000,"token":3}`},
		{"ended, and only younger ones were there", func(f *fake, key, other string) {
			f.del(other)
			f.put(key, "")
			f.put(other, "")
			f.del(key)
		}, `{"ttl_ms":2000,"token":4}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, at := serveFake(t)
			s := open(t, "lock", at, "lock-keepalive=false")
			other := "ordeal/lock/k/1"
			f.put(other, "")
			got, err := acquired(t, s, f, func(key string) { c.lock(f, key, other) })
			if err != nil || got.String() != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestLockKeepAlive: who waits keeps its lease alive, and may count from the last time that
// it asked; who does not may not.
func TestLockKeepAlive(t *testing.T) {
	for setting, longer := range map[string]bool{
		"lock-keepalive=true": true, "lock-keepalive=false": false,
	} {
		f, at := serveFake(t)
		s := open(t, "lock", at, setting, "lock-ttl=1")
		got, err := acquired(t, s, f, func(key string) {
			f.put(key, "")
			deadline := time.After(5 * time.Second)
			for asked := false; longer && !asked; {
				select {
				case <-time.After(time.Millisecond):
				case <-deadline:
					t.Error("no keepalive")
					return
				}
				f.mu.Lock()
				asked = f.kept > 1 // the first one was answered
				f.mu.Unlock()
			}
		})
		ttl, _ := got.Get("ttl_ms").AsInt()
		if err != nil || (ttl >= 1250) != longer || ttl > 10_000 || !longer && f.kept > 0 {
			t.Errorf("%s: %s after %d keepalives, %v", setting, got, f.kept, err)
		}
	}
}

// TestLockRefused: a session that is expired, or a service that is not there, is no lock for
// certain; all else may have one.
func TestLockRefused(t *testing.T) {
	for _, c := range []struct {
		answer   error
		definite bool
	}{
		{status.Error(codes.Unknown, "mutex: session is expired"), true},
		{status.Error(codes.Unimplemented, "unknown service v3lockpb.Lock"), true},
		{status.Error(codes.Unknown, "lost watcher waiting for delete"), false},
		{status.Error(codes.Unavailable, "etcdserver: request timed out"), false},
	} {
		f, at := serveFake(t)
		f.lock = func(string, int64) (string, error) { return "", c.answer }
		_, err := invoke(t, open(t, "lock", at), "acquire", "500")
		if err == nil || history.IsDefinite(err) != c.definite {
			t.Errorf("%v: %v", c.answer, err)
		}
	}
}
