// Package tail follows files of lines through rotation, truncation and
// restarts. A Follower is polled: it has no goroutine and no clock of its own,
// so that a consumer can write down positions and what it counted together.
//
// Files are known by device and inode and by hashes of what was read, never by
// name alone. A file that is renamed is read to its end under its new name, at
// run time and after a restart. Rotations that happen between two polls or
// while nobody looked are found because a rotated file keeps the name it had
// and adds to it (app.log.1, app.log-20260101). A copy of a followed file, as
// copytruncate makes one, is recognised and not read. It is told by its name,
// that of a rotated file, and by holding all that was read of the original,
// byte for byte: a rotated file that was never seen at its own path and begins
// with the same lines as its successor is taken for a copy too.
package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Options say what a Follower follows.
type Options struct {
	// Patterns are absolute paths or globs.
	Patterns []string
	// FromStart reads files that exist at the first poll without known
	// positions from their beginning; otherwise they start at their end.
	FromStart bool
	// MaxLine is the longest line handed out, in bytes without its newline.
	MaxLine int
	// MaxBytes bounds what one Poll reads, so that a backlog does not keep
	// the consumer from writing down where it is.
	MaxBytes int64
	// Idle is how long a rotated or deleted file stays open after it last
	// grew: a writer may still have it open. Other files stay open 60 times
	// as long.
	Idle time.Duration
	Now  func() time.Time
}

// Defaults of Options.
const (
	DefaultMaxLine  = 1 << 20
	DefaultMaxBytes = 16 << 20
	DefaultIdle     = time.Minute
)

// Line is one line of a file.
type Line struct {
	// Data has no newline and is valid until the next one.
	Data []byte
	// TooLong marks a line that was longer than MaxLine and is skipped.
	TooLong bool
}

// Progress is what one Poll did.
type Progress struct {
	Lines int
	// Moved tells that Positions differ from before.
	Moved bool
	// Gaps counts events after which lines may be missing: a truncation, a
	// file that vanished between two runs.
	Gaps int
	// Lost is the number of bytes known to be missing.
	Lost int64
	// Lag is the number of bytes not yet handed out, partial lines included.
	Lag int64
	// Files is the number of files held open.
	Files int
	// More tells that there is more to read at once.
	More bool
}

// Follower follows the files of one group.
type Follower struct {
	o     Options
	files map[ID]*file
	// byPath is the file last seen at each path that the patterns match.
	byPath map[string]ID
	// rescan are the paths whose rotated files are listed until then.
	rescan map[string]time.Time
	// started is false until the files there at first were placed; before are
	// the patterns of an earlier run, whose files are not there at first.
	started bool
	before  []string
	// seq numbers files in the order in which they were first seen.
	seq  int64
	buf  []byte
	work Progress
}

// New makes a Follower that goes on from known positions. Files that match
// one of before, the patterns of the run that known is from, and files that
// appear later are read from their beginning. Files that other patterns find
// at the first poll are placed by FromStart.
func New(o Options, known []Position, before []string) (*Follower, error) {
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	for _, p := range o.Patterns {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	f := &Follower{o: o, files: map[ID]*file{}, byPath: map[string]ID{}, rescan: map[string]time.Time{}, before: before, buf: make([]byte, 256<<10)}
	for _, p := range known {
		if !f.matches(p.Primary) {
			continue
		}
		f.files[p.ID] = &file{Position: p, restored: !p.Done && !p.Copy && !p.Pending}
		f.seq = max(f.seq, p.Seq)
		if p.Path == p.Primary && !p.Copy && !p.Pending {
			f.byPath[p.Primary] = p.ID
		}
	}
	return f, nil
}

// matches tells whether a path is one that the patterns name.
func (f *Follower) matches(path string) bool { return matchAny(f.o.Patterns, path) }

// first tells whether the rules of a first start hold for path now.
func (f *Follower) first(path string) bool { return !f.started && !matchAny(f.before, path) }

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := filepath.Match(p, path) // New refused bad patterns
		return ok || p == path
	})
}

// Poll looks for files, reads what is new and hands it out line by line. The
// error joins what could not be read; everything else was read all the same.
func (f *Follower) Poll(emit func(Line)) (Progress, error) {
	f.work = Progress{}
	err := f.discover()
	budget := f.o.MaxBytes
	for _, x := range f.sorted() {
		n, rerr := f.read(x, budget, emit)
		budget -= n
		err = errors.Join(err, rerr)
	}
	err = errors.Join(err, f.recover())
	f.retire()
	for _, x := range f.files {
		f.work.Lag += max(x.size-x.Offset, 0)
		if x.f != nil {
			f.work.Files++
		}
	}
	return f.work, err
}

// recover looks for copies of the files that were found truncated, and counts
// what had been written and not read where there is none.
func (f *Follower) recover() error {
	var err error
	for _, x := range f.sorted() {
		if x.before == nil {
			continue
		}
		err = errors.Join(err, f.siblings(x.Primary))
		if !x.recovered {
			f.work.Lost += x.unread
		}
		x.before, x.recovered, x.unread = nil, false, 0
	}
	return err
}

// Positions are where to go on, one per file, in a stable order. They belong
// to the lines handed out so far, exactly.
func (f *Follower) Positions() []Position {
	out := make([]Position, 0, len(f.files))
	for _, x := range f.sorted() {
		out = append(out, x.Position)
	}
	return out
}

// Close closes all files.
func (f *Follower) Close() error {
	var err error
	for _, x := range f.files {
		err = errors.Join(err, x.close())
	}
	return err
}
