package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/pricebook"
	"github.com/genai-exporter/genai-exporter/internal/tail"
)

// The state file is one line of header and one JSON document:
//
//	genai_exporter requestlog state v1 crc32c=0a1b2c3d bytes=1234
const (
	stateName    = "requestlog.state"
	stateVersion = 1
	stateHeader  = "genai_exporter requestlog state v%d crc32c=%08x bytes=%d\n"
	maxState     = 256 << 20
)

// errStateUnusable is the error of a state file that cannot be gone on from.
var errStateUnusable = errors.New("state file is unusable")

// store keeps the state file of one directory, which it holds locked.
type store struct {
	dir  string
	lock *os.File
}

// openStore makes the directory and locks it: two exporters on one state
// would each undo what the other counted.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "requestlog.lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("state directory %s is in use by another process: give each exporter its own (%w)", dir, err), lock.Close())
	}
	return &store{dir: dir, lock: lock}, nil
}

func (s *store) path() string { return filepath.Join(s.dir, stateName) }

// close unlocks before it closes: a program that another goroutine is just
// starting holds a copy of the descriptor, and with it the lock, until its exec.
func (s *store) close() error {
	return errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
}

// load reads the state, nil if there is none. A file that is damaged or not
// ours is set aside under a name that says so, with an errStateUnusable.
func (s *store) load(now time.Time) (*totals, error) {
	f, err := os.Open(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	err = errors.Join(err, f.Close())
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	t, err := decodeState(data)
	if err == nil {
		return t, nil
	}
	aside := fmt.Sprintf("%s.unusable-%s", s.path(), now.UTC().Format("20060102T150405.000000000Z"))
	if rerr := os.Rename(s.path(), aside); rerr != nil {
		return nil, fmt.Errorf("state: set aside: %w", rerr)
	}
	return nil, fmt.Errorf("%w: %w; kept as %s", errStateUnusable, err, aside)
}

// save replaces the state file so that a crash at any moment leaves the old
// or the new one, whole.
func (s *store) save(t *totals) (err error) {
	data, err := encodeState(t)
	if err != nil {
		return err
	}
	tmp := s.path() + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path()); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func encodeState(t *totals) ([]byte, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return append(fmt.Appendf(nil, stateHeader, stateVersion, sum, len(body)), body...), nil
}

// decodeState reads what encodeState wrote and nothing else.
func decodeState(data []byte) (*totals, error) {
	head, body, ok := bytes.Cut(data, []byte("\n"))
	var version, size int
	var sum uint32
	if n, err := fmt.Sscanf(string(head)+"\n", stateHeader, &version, &sum, &size); !ok || n != 3 || err != nil {
		return nil, errors.New("it is not a state file of this exporter")
	}
	if version != stateVersion {
		return nil, fmt.Errorf("it has version %d and this exporter reads version %d", version, stateVersion)
	}
	if size != len(body) || crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("it is damaged: %d bytes where %d were written, or a wrong checksum", len(body), size)
	}
	return decodeTotals(body)
}

// decodeTotals reads and checks the JSON document.
func decodeTotals(body []byte) (*totals, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	t := &totals{}
	if err := dec.Decode(t); err != nil {
		return nil, err
	}
	return t, t.check()
}

var labelText = regexp.MustCompile(`^[\w.-]{0,64}$`)

// check refuses what counting could not have produced.
func (t *totals) check() error {
	for _, m := range t.Admitted {
		if !config.ModelName(m) {
			return fmt.Errorf("admitted model %q is not a model name", m)
		}
	}
	type key struct{ namespace, model string }
	seen := map[key]bool{}
	for _, s := range t.Series {
		if s == nil || !config.ModelName(s.Model) || !labelText.MatchString(s.Namespace) || s.Seconds < 0 || seen[key{s.Namespace, s.Model}] {
			return errors.New("a series is impossible or listed twice")
		}
		seen[key{s.Namespace, s.Model}] = true
		for b := range s.Cost {
			if b != pricebook.Provider && b != pricebook.Internal {
				return fmt.Errorf("series of %q is billed by %q", s.Model, b)
			}
		}
	}
	groups := map[string]bool{}
	for _, g := range t.Groups {
		if g == nil || !labelText.MatchString(g.Name) || groups[g.Name] {
			return errors.New("a group is impossible or listed twice")
		}
		groups[g.Name] = true
		if err := tail.Check(g.Positions); err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
	}
	return nil
}
