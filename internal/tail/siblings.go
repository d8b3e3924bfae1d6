package tail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// forgetAfter is how long the listings of its folder must miss a file before
// it counts as deleted: a listing taken while files are renamed may show
// neither the old nor the new name.
const forgetAfter = time.Minute

// siblings visits the rotated files beside primary and forgets what is gone.
func (f *Follower) siblings(primary string) error {
	real := resolve(primary)
	entries, err := os.ReadDir(filepath.Dir(real))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err = nil
	for _, e := range entries {
		if isRotated(filepath.Base(real), e.Name()) {
			err = errors.Join(err, f.visit(filepath.Join(filepath.Dir(real), e.Name()), primary))
		}
	}
	for id, x := range f.files {
		if x.Primary != primary || x.f != nil {
			continue
		}
		if x.seen {
			x.missed = time.Time{}
			continue
		}
		if x.missed.IsZero() {
			x.missed = f.o.Now()
		}
		if f.o.Now().Sub(x.missed) < forgetAfter {
			continue
		}
		if !x.Done && !x.Copy && !x.Pending {
			f.work.Gaps++ // it may have grown before it was deleted
		}
		delete(f.files, id)
		f.work.Moved = true
	}
	return err
}

// resolve follows symbolic links by text, so that a link whose target was just
// rotated away still names the folder to look in.
func resolve(path string) string {
	for range 16 {
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return path
}

// visit notes a rotated file. One that is new is read, unless it was there
// before this Follower's first run or is a copy of the file at primary.
func (f *Follower) visit(path, primary string) error {
	id, info, err := stat(path)
	if err != nil || info == nil {
		return err
	}
	x := f.files[id]
	if x == nil {
		if f.first(primary) && (!f.o.FromStart || !f.matches(path)) {
			return f.remember(path, primary)
		}
		return f.judge(path, primary)
	}
	x.seen, x.Path = true, path
	switch original := f.files[f.byPath[primary]]; {
	case x.f != nil || x.Done && info.Size() <= x.Offset:
		return nil
	case x.Pending || x.Copy && original != nil && original.before != nil:
		return f.judge(path, primary)
	case x.Copy:
		return nil
	}
	_, err = f.open(path, primary)
	return err
}

// remember writes down a rotated file that was there before the first run and
// is only read if it grows.
func (f *Follower) remember(path, primary string) error {
	fd, id, info, err := openRegular(path)
	if err != nil {
		return err
	}
	x := f.add(id, path, primary)
	x.Done, x.seen = true, true
	f.work.Moved = true
	return errors.Join(f.toEnd(x, fd, info.Size()), fd.Close())
}

// judge decides what a rotated file is that no primary path ever showed. The
// middle one of two rotations between two polls is read from its beginning. A
// copy of the file at the primary path is not read; when its original was
// truncated, it is read on from where the original was left.
func (f *Follower) judge(path, primary string) error {
	fd, id, info, err := openRegular(path)
	if err != nil {
		return err
	}
	if x := f.files[id]; x != nil && x.f != nil {
		return fd.Close()
	}
	original := f.files[f.byPath[primary]]
	kin, err := unrelated, error(nil)
	if original != nil {
		kin, err = original.kinship(fd, info.Size())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read %s: %w", path, err), fd.Close())
	}
	x := f.files[id]
	if x == nil || kin == unrelated || kin == truncatedCopy {
		x = f.add(id, path, primary)
		f.work.Moved = true
	}
	x.seen = true
	switch kin {
	case wholeCopy, perhapsCopy:
		x.Copy, x.Pending = kin == wholeCopy, kin == perhapsCopy
		return fd.Close()
	case truncatedCopy:
		x.goOnFrom(*original.before)
		original.recovered = true
	}
	f.follow(x, fd, path)
	return nil
}

// kinship is what a file is to the one at its primary path.
type kinship int

const (
	unrelated     kinship = iota
	perhapsCopy           // a copy in the making, as far as can be seen
	wholeCopy             // it holds all that was read of the original
	truncatedCopy         // the same, and the original was truncated since
)

func (x *file) kinship(fd *os.File, size int64) (kinship, error) {
	if x.before != nil && x.before.Offset > 0 {
		if same, err := x.before.holds(fd); err != nil || same {
			return truncatedCopy, err
		}
	}
	if size == 0 {
		return perhapsCopy, nil
	}
	if x.Offset == 0 || x.f == nil {
		return unrelated, nil
	}
	if same, err := x.holds(fd); err != nil || same {
		return wholeCopy, err
	}
	n := int(min(size, int64(x.Head.Len)))
	mine, err := spanAt(x.f, 0, n)
	if err != nil {
		return unrelated, err
	}
	if its, err := spanAt(fd, 0, n); err != nil || its != mine || size >= x.Offset {
		return unrelated, err
	}
	return perhapsCopy, nil
}

// goOnFrom takes over what was read of another file with the same beginning.
func (x *file) goOnFrom(p Position) {
	x.Offset, x.Head, x.Tail, x.Skipping = p.Offset, p.Head, p.Tail, p.Skipping
}

// toEnd places a file behind its last whole line.
func (f *Follower) toEnd(x *file, fd *os.File, size int64) error {
	x.Offset = size
	back := min(size, int64(f.o.MaxLine)+1)
	buf := make([]byte, back)
	if _, err := fd.ReadAt(buf, size-back); err != nil {
		return err
	}
	switch i := bytes.LastIndexByte(buf, '\n'); {
	case i >= 0:
		x.Offset = size - back + int64(i) + 1
	case back == size:
		x.Offset = 0
	default:
		x.Skipping = true
	}
	x.f = fd
	err := x.mark()
	x.f = nil
	return err
}
