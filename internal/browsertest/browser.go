// Package browsertest opens pages in a headless Chromium, for tests: it looks at them as a
// reader does, hears what they do behind their looks, and audits what a reader needs of
// every page, whatever is on it.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	// requireVariable names the environment variable that turns a missing browser into a
	// failure, for machines that are known to have one.
	requireVariable = "ORDEAL_CHROMIUM"
	// picturesVariable names the directory in which pictures of the pages are kept.
	picturesVariable = "ORDEAL_SCREENSHOTS"
	// tabTime bounds everything that is done in one tab, also on a machine that is busy.
	tabTime = 5 * time.Minute
)

// Required reports whether this machine is one that has to have a browser, which is also
// one where tests may take their time.
func Required() bool { return os.Getenv(requireVariable) == "required" }

// Start starts the one Chromium of a test, or skips the test when there is none.
func Start(t *testing.T, width, height int) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" && Required() {
		t.Fatalf("no chromium, chromium-browser or google-chrome in PATH, but %s=required",
			requireVariable)
	}
	if path == "" {
		t.Skip("no chromium, chromium-browser or google-chrome in PATH")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.WindowSize(width, height),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Nothing may leave the machine, whatever a page asks for.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		// Frames stay in the process of their page, so that its events are theirs.
		chromedp.Flag("disable-features", "Translate,IsolateSandboxedIframes"),
	)
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		end, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		if err := chromedp.Cancel(end); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("end of chromium: %v", err)
		}
		cancelBrowser()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// Tab is a tab of a browser.
type Tab struct {
	T   *testing.T
	Ctx context.Context

	mu       sync.Mutex // Protects fields below.
	troubles []string
	requests []string
	worlds   map[string]cdpruntime.ExecutionContextID
}

// Open opens a tab. When the test ends, nothing may have been on its console, and only
// what is allowed may have been asked for. Loud pages, whose console has to say something,
// have allowed nil.
func Open(t *testing.T, browser context.Context, allowed func(address string) bool) *Tab {
	t.Helper()
	p := &Tab{T: t, worlds: map[string]cdpruntime.ExecutionContextID{}}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithListener(p.hear))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, tabTime)
	t.Cleanup(cancelTime)
	p.Ctx = ctx
	if allowed == nil {
		return p
	}
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, trouble := range p.troubles {
			t.Errorf("console: %s", trouble)
		}
		for _, r := range p.requests {
			// The browser's own signs in fields are data.
			if !allowed(r) && !strings.HasPrefix(r, "data:image/svg+xml;") {
				t.Errorf("the page asked for %.200s", r)
			}
		}
		if len(p.requests) == 0 {
			t.Error("no request was seen, not even that for the page: the test is deaf")
		}
	})
	return p
}

// hear notes what a page does behind its looks.
func (p *Tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	case *cdpruntime.EventConsoleAPICalled:
		for _, a := range e.Args {
			p.troubles = append(p.troubles, fmt.Sprintf("%s: %s", e.Type, a.Value))
		}
	case *cdpruntime.EventExceptionThrown:
		p.troubles = append(p.troubles, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.troubles = append(p.troubles, string(e.Entry.Source)+": "+e.Entry.Text)
	case *cdpruntime.EventExecutionContextCreated:
		if strings.Contains(string(e.Context.AuxData), `"isDefault":true`) {
			p.worlds[e.Context.UniqueID] = e.Context.ID
		}
	case *cdpruntime.EventExecutionContextDestroyed:
		delete(p.worlds, e.ExecutionContextUniqueID)
	case *cdpruntime.EventExecutionContextsCleared:
		clear(p.worlds)
	}
}

// Visit opens a page.
func (p *Tab) Visit(address string) {
	p.T.Helper()
	if err := chromedp.Do(p.Ctx, chromedp.Navigate(address)); err != nil {
		p.T.Fatalf("open %s: %v", address, err)
	}
}

// Eval returns the value of a JavaScript expression, awaited if it is a promise.
func Eval[T any](p *Tab, expression string, options ...chromedp.EvaluateOption) T {
	p.T.Helper()
	options = append(options, chromedp.EvalAwaitPromise)
	v, err := chromedp.Run(p.Ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		p.T.Fatalf("evaluate %.300s: %v", expression, err)
	}
	return v
}

// Frame returns an option to evaluate in the frame whose document has an address.
func (p *Tab) Frame(address string) chromedp.EvaluateOption {
	p.T.Helper()
	p.mu.Lock()
	var worlds []cdpruntime.ExecutionContextID
	for _, w := range p.worlds {
		worlds = append(worlds, w)
	}
	p.mu.Unlock()
	for _, w := range worlds {
		in := func(e *cdpruntime.EvaluateParams) { e.ContextID = w }
		if Eval[string](p, `location.href`, in) == address {
			return in
		}
	}
	p.T.Fatalf("there is no frame with %s", address)
	return nil
}

// Press presses keys.
func (p *Tab) Press(keys string) {
	p.T.Helper()
	if err := chromedp.Do(p.Ctx, chromedp.KeyEvent(keys)); err != nil {
		p.T.Fatalf("press %q: %v", keys, err)
	}
}

// Scheme emulates the reader's preference for light or dark.
func (p *Tab) Scheme(name string) {
	p.T.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		p.T.Fatalf("emulate %s: %v", name, err)
	}
}

// Resize makes the window as wide as a reader's.
func (p *Tab) Resize(width int64) {
	p.T.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1})
	if err != nil {
		p.T.Fatalf("resize to %d: %v", width, err)
	}
}

// Picture keeps a picture of the page, or of the part in the window, if somebody wants it.
func (p *Tab) Picture(name string, whole bool) {
	p.T.Helper()
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		return
	}
	action := chromedp.CaptureScreenshot()
	if whole {
		action = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(p.Ctx, action)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.T.Errorf("picture %s: %v", name, err)
	}
}
