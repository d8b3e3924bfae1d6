package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/tsdb/fileutil"

	"github.com/genai-exporter/genai-exporter/internal/render"
)

// renderedDir holds nothing but what was rendered: a folder of that name is
// ours to tidy, one that is called rules might be somebody's own.
const renderedDir = "rendered"

// routingFile is where render puts Alertmanager's configuration.
const routingFile = "deploy/alertmanager/alertmanager.yml"

// dataDir is the folder of everything that is kept. One process has it at a time.
type dataDir struct {
	path string
	lock fileutil.Releaser
}

func openDataDir(path string) (*dataDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("--storage.path=%s: %w", path, err)
	}
	if err := os.MkdirAll(abs, 0o750); err != nil {
		return nil, fmt.Errorf("--storage.path=%s: %w", path, err)
	}
	lock, _, err := fileutil.Flock(filepath.Join(abs, "lock"))
	if err != nil {
		return nil, fmt.Errorf("--storage.path=%s: in use by another genaictl up: stop that one or choose another folder (%w)", path, err)
	}
	return &dataDir{path: abs, lock: lock}, nil
}

// join is a path below the folder; name has slashes.
func (d *dataDir) join(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// close gives the folder free. The lock file stays: removing it would let two
// processes lock two files of the same name.
func (d *dataDir) close() error { return d.lock.Release() }

// writeRendered puts the rules and the routing where Prometheus' and
// Alertmanager's own code reads them, and removes rules of an earlier start.
func (d *dataDir) writeRendered(files []render.File) error {
	wanted := map[string]bool{}
	for _, f := range files {
		if !strings.HasPrefix(f.Path, "rules/") && !strings.HasPrefix(f.Path, filepath.ToSlash(filepath.Dir(routingFile))+"/") {
			continue
		}
		name := d.join(renderedDir + "/" + f.Path)
		wanted[name] = true
		if err := writeAtomically(name, f.Data); err != nil {
			return err
		}
	}
	old, err := filepath.Glob(d.join(renderedDir + "/rules/*.yml"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if !wanted[name] {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("remove rules of an earlier start: %w", err)
			}
		}
	}
	return nil
}

// ruleFiles are the rules that were written, sorted.
func (d *dataDir) ruleFiles() ([]string, error) {
	names, err := filepath.Glob(d.join(renderedDir + "/rules/*.yml"))
	slices.Sort(names)
	return names, err
}

func writeAtomically(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("write rendered files: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return fmt.Errorf("write rendered files: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write rendered files: %w", err), os.Remove(f.Name()))
	}
	return nil
}
