package tail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// forgetAfter is how many listings in a row must miss a file before it counts
// as deleted: a listing taken during a rename may show neither name.
const forgetAfter = 3

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
			err = errors.Join(err, f.visit(filepath.Join(filepath.Dir(real), e.Name()), primary, true))
		}
	}
	for id, x := range f.files {
		if x.Primary != primary || x.f != nil {
			continue
		}
		if x.seen {
			x.missed = 0
			continue
		}
		if x.missed++; x.missed < forgetAfter {
			continue
		}
		if !x.Done && !x.Copy {
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
// before this Follower's first run or is a copy of a file that is followed.
func (f *Follower) visit(path, primary string, changed bool) error {
	id, info, err := stat(path)
	if err != nil || info == nil {
		return err
	}
	x := f.files[id]
	if x != nil {
		x.seen = true
	}
	switch {
	case x != nil && (x.f != nil || x.Done && info.Size() <= x.Offset):
		x.Path = path
		return nil
	case x != nil && x.Copy && !changed:
		return nil
	case x != nil && !x.Copy:
		_, err := f.open(path, primary)
		return err
	case !f.started && !(f.o.FromStart && f.matches(path)):
		x = f.add(id, path, primary)
		x.Offset, x.Done, x.seen = info.Size(), true, true
		f.work.Moved = true
		return f.remember(x, path)
	}
	return f.judge(path, primary, changed)
}

// remember hashes a file that is not read, to know it again.
func (f *Follower) remember(x *file, path string) error {
	fd, _, _, err := openRegular(path)
	if err != nil {
		return err
	}
	x.f = fd
	return errors.Join(x.mark(), x.close())
}

// judge decides what an unknown rotated file is. While its primary is in
// place it can only be a copy in the making. A copy of a file that was then
// truncated is read on from where the original was left.
func (f *Follower) judge(path, primary string, changed bool) error {
	fd, id, _, err := openRegular(path)
	if err != nil {
		return err
	}
	original, truncated, err := f.originalOf(fd, id, primary)
	if err != nil {
		return errors.Join(fmt.Errorf("read %s: %w", path, err), fd.Close())
	}
	if old := f.files[id]; old != nil && old.f != nil {
		return fd.Close()
	}
	x := f.add(id, path, primary)
	x.seen = true
	f.work.Moved = true
	if truncated != nil {
		x.Offset, x.Head, x.Tail, x.Skipping = truncated.Offset, truncated.Head, truncated.Tail, truncated.Skipping
		original.recovered = true
	} else if original != nil || !changed {
		x.Copy = true
		return fd.Close()
	}
	x.f, x.size, x.quiet = fd, x.Offset, f.o.Now()
	f.work.More = true
	return nil
}

// originalOf finds the file that fd begins with, and what was read of it if it
// was truncated in this poll.
func (f *Follower) originalOf(fd *os.File, id ID, primary string) (*file, *Position, error) {
	for _, x := range f.sorted() {
		if x.Primary != primary || x.ID == id || x.Copy {
			continue
		}
		if x.before != nil && x.before.Offset > 0 {
			if same, err := x.before.holds(fd); err != nil || same {
				return x, x.before, err
			}
		}
		if x.Offset > 0 {
			if same, err := x.holds(fd); err != nil || same {
				return x, nil, err
			}
		}
	}
	return nil, nil, nil
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
