package serve

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"github.com/ordeal-dev/ordeal/reports/store"
)

// filePolicy is for files that are shown as they are.
const filePolicy = "sandbox; default-src 'none'; frame-ancestors 'self'"

// open opens a regular file of a run. What leads out of the run's directory, and what is
// no regular file, is not found.
func (w *Server) open(id store.ID, name string) (*os.File, fs.FileInfo, error) {
	missing := notFound(fmt.Sprintf("the run has no file %q", name))
	root, err := os.OpenRoot(w.store.Dir(id))
	if err != nil {
		return nil, nil, missing
	}
	defer root.Close()
	// A pipe would make the opening wait for a writer.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, missing
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(missing, f.Close())
	}
	return f, info, nil
}

// file serves a file of a run, or the list of a directory's. Only the report and the pages
// of Porcupine are pages; everything else is text, or bytes.
func (w *Server) file(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(r.PathValue("path"), "/")
	if name == "" || !fs.ValidPath(name) {
		return notFound("the run has no such file")
	}
	f, info, err := w.open(e.ID, name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := rw.Header()
	h.Set("Content-Security-Policy", filePolicy)
	switch base := path.Base(name); {
	case name == base && (base == "report.html" || isCounterexample(base)):
		read := reportPolicy
		if base != "report.html" {
			read = pagePolicyOf
		}
		policy, err := read(f)
		if err != nil {
			return err
		}
		h.Set("Content-Security-Policy", policy)
		h.Set("Content-Type", "text/html; charset=utf-8")
	case path.Ext(base) == ".json":
		h.Set("Content-Type", "application/json")
	case isText(f):
		h.Set("Content-Type", "text/plain; charset=utf-8")
	default:
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", attachment(base))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("file %s: %w", name, err)
	}
	http.ServeContent(rw, r, "", info.ModTime(), f)
	return nil
}

// isText reports whether the start of a file has no byte that text never has.
func isText(f *os.File) bool {
	b := make([]byte, 4096)
	n, err := f.ReadAt(b, 0)
	return (err == nil || err == io.EOF) && !slices.Contains(b[:n], 0)
}

func isCounterexample(name string) bool {
	ok, err := path.Match("counterexample-*.html", name)
	return err == nil && ok
}

// attachment is the header that names a download, whatever is in the name.
func attachment(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// A report says itself what it may do, in its head, where nothing of the system under
// test stands before it.
var (
	ownPolicy = regexp.MustCompile(
		`(?s)^.{0,1000}?<meta http-equiv="Content-Security-Policy" content="([^"]*)"`)
	codeOf      = regexp.MustCompile(`(?is)<script[^>]*>(.*?)</script\s*>`)
	plainPolicy = regexp.MustCompile(`^[A-Za-z0-9 '=+/;:.*-]+$`)
	inlineCode  = regexp.MustCompile(`(?:script-src|default-src)[^;]*'unsafe-(?:inline|eval)'`)
)

const (
	// sandbox takes a report's page the origin of this server: it can read nothing here.
	sandbox = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox; " +
		"frame-ancestors 'self'; "
	// scriptless is for pages that do not say what they need.
	scriptless = "sandbox; frame-ancestors 'self'; default-src 'none'; base-uri 'none'; " +
		"form-action 'none'; style-src 'unsafe-inline'; img-src data:"
)

// reportPolicy is what a report of a run may do: what it allows itself, by the hashes of
// its scripts, and in a sandbox.
func reportPolicy(f *os.File) (string, error) {
	b := make([]byte, 256<<10) // hashes of many scripts are long
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("report: %w", err)
	}
	m := ownPolicy.FindSubmatch(b[:n])
	if m == nil {
		return scriptless, nil
	}
	own := strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&#43;", "+", "&amp;", "&").Replace(
		string(m[1]))
	if !plainPolicy.MatchString(own) || inlineCode.MatchString(own) {
		return scriptless, nil
	}
	return sandbox + own, nil
}

// pageMost bounds the pages of Porcupine that may run.
const pageMost = 16 << 20

// pagePolicyOf is for a page of Porcupine, which does not say what it needs: the scripts
// that are in it, in a sandbox from which they reach nothing.
func pagePolicyOf(f *os.File) (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, pageMost))
	if err != nil {
		return "", fmt.Errorf("page: %w", err)
	}
	policy := sandbox + "default-src 'none'; base-uri 'none'; form-action 'none'; " +
		"style-src 'unsafe-inline'; script-src"
	for _, m := range codeOf.FindAllSubmatch(b, -1) {
		sum := sha256.Sum256(m[1])
		policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return policy, nil
}

// archive sends the whole run as one .tar.zst.
func (w *Server) archive(rw http.ResponseWriter, r *http.Request) (err error) {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(w.store.Dir(e.ID))
	if err != nil {
		return notFound("the run is gone")
	}
	defer root.Close()
	base := e.ID.Name + "-" + e.ID.Stamp
	rw.Header().Set("Content-Type", "application/zstd")
	rw.Header().Set("Content-Disposition", attachment(base+".tar.zst"))
	if r.Method == http.MethodHead {
		return nil
	}
	z, err := zstd.NewWriter(rw, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	t := tar.NewWriter(z)
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return w.pack(t, e.ID, name, base)
	})
	if err := errors.Join(err, t.Close(), z.Close()); err != nil {
		w.cfg.Logger.Error("archive", "run", e.ID.String(), "err", err)
		panic(http.ErrAbortHandler) // so that nobody takes the half for the whole
	}
	return nil
}

// pack adds a file as it is at this moment: one that grows is cut, and one that went is
// left out.
func (w *Server) pack(t *tar.Writer, id store.ID, name, base string) (err error) {
	f, info, err := w.open(id, name)
	var gone *httpError
	if errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := &tar.Header{
		Name: base + "/" + name, Mode: 0o644, Size: info.Size(), ModTime: info.ModTime(),
		Format: tar.FormatPAX,
	}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	if _, err := io.CopyN(t, f, info.Size()); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return nil
}

// fileRow is a file of a run.
type fileRow struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// filesMost bounds the list on a run's page.
const filesMost = 500

// files lists the regular files of a run, those of the run itself first.
func (w *Server) files(id store.ID) (rows []fileRow, more bool) {
	root, err := os.OpenRoot(w.store.Dir(id))
	if err != nil {
		return nil, false
	}
	defer root.Close()
	enough := errors.New("enough")
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what cannot be read is not shown
		}
		if len(rows) == filesMost {
			return enough
		}
		if info, err := d.Info(); err == nil {
			rows = append(rows, fileRow{Name: name, Size: info.Size()})
		}
		return nil
	})
	slices.SortStableFunc(rows, func(a, b fileRow) int {
		return strings.Count(a.Name, "/") - strings.Count(b.Name, "/")
	})
	return rows, errors.Is(err, enough)
}
