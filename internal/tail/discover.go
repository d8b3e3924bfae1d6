package tail

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// rescanFor is how long after a change the rotated files are listed at every
// poll: a listing taken while files are renamed may miss some.
const rescanFor = 5 * time.Second

// discover finds files at the paths that the patterns match, and rotated ones
// beside them whenever a path shows another file than before.
func (f *Follower) discover() error {
	for _, x := range f.files {
		x.seen = x.f != nil
	}
	paths, err := f.glob()
	primaries, rotated := partition(paths)
	changed := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(primaries)) {
		moved, lerr := f.look(path)
		err = errors.Join(err, lerr)
		changed[path] = moved || f.first(path)
	}
	for path := range f.byPath {
		if !primaries[path] {
			delete(f.byPath, path)
			changed[path] = true
		}
	}
	for _, x := range f.files {
		if x.restored {
			changed[x.Primary] = true
		}
		if x.Pending {
			rotated[x.Path] = x.Primary
		}
	}
	for _, path := range slices.Sorted(maps.Keys(rotated)) {
		err = errors.Join(err, f.visit(path, rotated[path]))
	}
	now := f.o.Now()
	for path, scan := range changed {
		if scan {
			f.rescan[path] = now.Add(rescanFor)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(f.rescan)) {
		err = errors.Join(err, f.siblings(path))
		if !now.Before(f.rescan[path]) {
			delete(f.rescan, path)
		}
	}
	f.started = true
	return err
}

func isGlob(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// glob lists the paths that match, each once, sorted.
func (f *Follower) glob() ([]string, error) {
	var all []string
	for _, p := range f.o.Patterns {
		if !isGlob(p) {
			all = append(all, p)
			continue
		}
		got, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
		all = append(all, got...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// partition tells the files that are written from rotated ones that the
// patterns match as well, such as app.log.1 under app.log*.
func partition(paths []string) (primaries map[string]bool, rotated map[string]string) {
	primaries, rotated = map[string]bool{}, map[string]string{}
	for _, p := range paths {
		primaries[p] = true
	}
	for _, path := range paths {
		if p := primaryOf(path, primaries); p != "" {
			rotated[path] = p
		}
	}
	for path := range rotated {
		delete(primaries, path)
	}
	return primaries, rotated
}

// primaryOf finds the path among known whose rotation path may be.
func primaryOf(path string, known map[string]bool) string {
	dir, name := filepath.Split(path)
	ext := filepath.Ext(name)
	for i := range len(name) {
		if !strings.ContainsAny(name[i:i+1], ".-_") {
			continue
		}
		for _, base := range []string{name[:i], name[:i] + ext} {
			if p := filepath.Join(dir, base); base != name && known[p] && isRotated(base, name) {
				return p
			}
		}
	}
	return ""
}

// isRotated tells whether name is what a rotation makes of base: app.log.1,
// app.log-20260101, app.log.old, or app-2026-01-01T00-00-00.log.
func isRotated(base, name string) bool {
	if rest, ok := strings.CutPrefix(name, base); ok {
		return len(rest) > 1 && strings.ContainsAny(rest[:1], ".-_") && !compressed(name) &&
			(strings.ContainsAny(rest, "0123456789") || rest == ".old")
	}
	ext := filepath.Ext(base)
	stem, ok := strings.CutSuffix(name, ext)
	rest, ok2 := strings.CutPrefix(stem, strings.TrimSuffix(base, ext))
	if !ok || !ok2 || len(rest) < 2 || !strings.ContainsAny(rest[:1], ".-_") {
		return false
	}
	// Eight digits are a date; fewer may be another program's number.
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, rest)
	return len(digits) >= 8 && '0' <= rest[1] && rest[1] <= '9'
}

// compressed tells whether a rotated file was packed: it was read before.
func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".Z":
		return true
	}
	return false
}

// look notes which file is at path and follows it if it is new. It tells
// whether path showed another file, or none, before.
func (f *Follower) look(path string) (moved bool, err error) {
	before, had := f.byPath[path]
	id, info, err := stat(path)
	if err != nil {
		return false, err
	}
	if info == nil {
		delete(f.byPath, path)
		return had, nil
	}
	x := f.files[id]
	if x == nil || x.f == nil && (!x.Done || info.Size() != x.Offset) {
		if id, err = f.open(path, path); err != nil {
			return false, err
		}
		x = f.files[id]
	}
	x.Path, x.seen = path, true
	f.byPath[path] = id
	return !had || before != id, nil
}

// stat identifies the regular file at path; info is nil if there is none.
func stat(path string) (ID, os.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return ID{}, nil, nil
	}
	if err != nil {
		return ID{}, nil, err
	}
	if !info.Mode().IsRegular() {
		return ID{}, nil, nil
	}
	id, ok := identify(info)
	if !ok {
		return ID{}, nil, fmt.Errorf("%s: this system does not tell device and inode", path)
	}
	return id, info, nil
}

// open follows the file at path from where it was left, or from its beginning
// or end if it is new. The identity is that of the opened file, which may be
// another one than a moment ago.
func (f *Follower) open(path, primary string) (ID, error) {
	fd, id, info, err := openRegular(path)
	if err != nil {
		return id, err
	}
	x := f.files[id]
	if x != nil && x.f != nil {
		x.Path = path
		return id, fd.Close()
	}
	if x != nil && x.Done {
		same, err := x.holds(fd)
		if err != nil {
			return id, errors.Join(fmt.Errorf("read %s: %w", path, err), fd.Close())
		}
		if !same {
			x = nil // the inode was given to another file
		}
	}
	if x == nil || x.Copy || x.Pending {
		x = f.add(id, path, primary)
		if err := f.place(x, fd, info.Size()); err != nil {
			return id, errors.Join(fmt.Errorf("read %s: %w", path, err), fd.Close())
		}
	}
	f.follow(x, fd, path)
	return id, nil
}

// follow holds x open from now on.
func (f *Follower) follow(x *file, fd *os.File, path string) {
	x.f, x.Path, x.restored, x.Done = fd, path, false, false
	x.size, x.seen, x.missed, x.quiet = x.Offset, true, time.Time{}, f.o.Now()
	f.work.Moved, f.work.More = true, true
}

// place decides where a file that is new at its primary path is read from.
func (f *Follower) place(x *file, fd *os.File, size int64) error {
	if f.first(x.Primary) && !f.o.FromStart {
		return f.toEnd(x, fd, size)
	}
	// An editor writes a file anew and removes the old one: the lines that
	// were read are in both.
	old := f.files[f.byPath[x.Primary]]
	if old == nil || old.f == nil || old.Offset == 0 || links(old.f) > 0 {
		return nil
	}
	same, err := old.holds(fd)
	if same {
		x.goOnFrom(old.Position)
	}
	return err
}

// openRegular opens without blocking on what became a pipe meanwhile.
func openRegular(path string) (*os.File, ID, os.FileInfo, error) {
	fd, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, ID{}, nil, err
	}
	info, err := fd.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, ID{}, nil, errors.Join(err, fd.Close())
	}
	id, _ := identify(info)
	return fd, id, info, nil
}

// add starts a file at its beginning.
func (f *Follower) add(id ID, path, primary string) *file {
	f.seq++
	x := &file{Position: Position{ID: id, Primary: primary, Path: path, Seq: f.seq}}
	f.files[id] = x
	return x
}
