package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/genai-exporter/genai-exporter/internal/render"
)

// change is one file that differs from what was there.
type change struct {
	verb string // wrote, changed, removed
	path string // below the output folder, with slashes
	// data is what will be there; nil for a removal.
	data []byte
	// old is what was there; nil where nothing was.
	old []byte
}

func (c change) String() string { return c.verb + " " + c.path }

// writer puts rendered files into a folder, all of them or none.
type writer struct {
	out    string
	rename func(from, to string) error
}

// newWriter writes below out.
func newWriter(out string) writer { return writer{out: out, rename: os.Rename} }

// apply makes the changes, or none of them.
func (w writer) apply(changes []change) error {
	if err := os.MkdirAll(w.out, 0o755); err != nil {
		return err
	}
	release, err := w.hold()
	if err != nil {
		return err
	}
	defer release()
	if err := w.clean(); err != nil || len(changes) == 0 {
		return err
	}
	stage, err := os.MkdirTemp(w.out, stagePrefix)
	if err != nil {
		return err
	}
	err = w.swap(stage, changes)
	if removed := os.RemoveAll(stage); err == nil && removed != nil {
		err = removed
	}
	if err != nil {
		return fmt.Errorf("render into %s: %w", w.out, err)
	}
	return nil
}

// stagePrefix begins the name of the folder in which changes are prepared.
const stagePrefix = ".genaictl-render-"

// hold keeps other renders out of the folder until release. The lock goes with
// the process, however it ends; a file system without locks has none.
func (w writer) hold() (release func(), err error) {
	dir, err := os.Open(w.out)
	if err != nil {
		return nil, err
	}
	if errors.Is(syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("another genaictl render is writing into %s; run this one again when it has ended", w.out), dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}

// clean removes what a render that was killed has left behind.
func (w writer) clean() error {
	entries, err := os.ReadDir(w.out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stagePrefix) {
			if err := os.RemoveAll(filepath.Join(w.out, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan is what must change for the rendered folders to hold exactly files,
// beside whatever was written by hand. It touches nothing. A file that was not
// rendered is never overwritten or removed: where one is in the way, the
// errors say so.
func (w writer) plan(files []render.File) ([]change, error) {
	var changes []change
	var problems []error
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.Path] = true
		old, err := w.read(f.Path)
		switch {
		case err != nil:
			problems = append(problems, err)
		case old == nil:
			changes = append(changes, change{"wrote", f.Path, f.Data, nil})
		case bytes.Equal(old, f.Data):
		case !render.Rendered(old):
			problems = append(problems, fmt.Errorf("%s was not written by genaictl render and would be overwritten; move it away or choose another --out",
				filepath.Join(w.out, filepath.FromSlash(f.Path))))
		default:
			changes = append(changes, change{"changed", f.Path, f.Data, old})
		}
	}
	for _, dir := range render.Folders() {
		stale, err := w.stale(dir, wanted)
		if err != nil {
			problems = append(problems, err)
		}
		changes = append(changes, stale...)
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	return changes, errors.Join(problems...)
}

// stale are rendered files of a folder that are rendered no more.
func (w writer) stale(dir string, wanted map[string]bool) ([]change, error) {
	entries, err := os.ReadDir(filepath.Join(w.out, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if wanted[name] || !e.Type().IsRegular() {
			continue
		}
		old, err := w.read(name)
		if err != nil {
			return nil, err
		}
		if render.Rendered(old) {
			changes = append(changes, change{"removed", name, nil, old})
		}
	}
	return changes, nil
}

// read is a regular file's content, nil when there is none.
func (w writer) read(name string) ([]byte, error) {
	p := filepath.Join(w.out, filepath.FromSlash(name))
	info, err := os.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", p)
	}
	data, err := os.ReadFile(p)
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// swap writes everything, old and new, into the stage first: when space runs
// out nothing has changed yet. Then it only renames, and undoes that in
// reverse when one rename fails.
func (w writer) swap(stage string, changes []change) (err error) {
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, u := range slices.Backward(undo) {
			err = errors.Join(err, u())
		}
	}()
	for i, c := range changes {
		made, err := makeFolder(filepath.Join(w.out, filepath.FromSlash(path.Dir(c.path))))
		for _, dir := range made {
			undo = append(undo, func() error { return os.Remove(dir) })
		}
		if err != nil {
			return err
		}
		for side, data := range map[string][]byte{"new": c.data, "old": c.old} {
			if data == nil {
				continue
			}
			if err := writeSynced(staged(stage, side, i), data); err != nil {
				return err
			}
		}
	}
	for i, c := range changes {
		target := filepath.Join(w.out, filepath.FromSlash(c.path))
		if c.data == nil {
			err = os.Remove(target)
		} else {
			err = w.rename(staged(stage, "new", i), target)
		}
		if err != nil {
			return err
		}
		undo = append(undo, func() error {
			if c.old == nil {
				return os.Remove(target)
			}
			return os.Rename(staged(stage, "old", i), target)
		})
	}
	return w.syncFolders(changes)
}

// makeFolder makes a folder and those above it, and says which it made, the
// highest first.
func makeFolder(dir string) (made []string, err error) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	slices.Reverse(made)
	for i, d := range made {
		if err := os.Mkdir(d, 0o755); err != nil {
			return made[:i], err
		}
	}
	return made, nil
}

func staged(stage, side string, i int) string {
	return filepath.Join(stage, fmt.Sprintf("%s-%d", side, i))
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolders makes the renames durable.
func (w writer) syncFolders(changes []change) error {
	last := ""
	for _, c := range changes {
		dir := filepath.Join(w.out, filepath.FromSlash(path.Dir(c.path)))
		if dir == last {
			continue
		}
		last = dir
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}
