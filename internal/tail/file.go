package tail

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"
)

// file is one followed file.
type file struct {
	Position
	f *os.File
	// size and modified are what the last look at it said.
	size     int64
	modified time.Time
	// partial is the start of a line whose newline is not there yet; it lies
	// behind Offset.
	partial []byte
	// quiet is when the file last had something new.
	quiet time.Time
	// restored is true until the file of an earlier run was found again.
	restored bool
	// seen tells whether the last listing of its folder showed it, missed
	// since when listings did not.
	seen   bool
	missed time.Time
	// before is what had been read when a truncation was found in this poll;
	// recovered tells that a copy of it is there to go on with.
	before    *Position
	recovered bool
	unread    int64
}

func (x *file) close() error {
	if x.f == nil {
		return nil
	}
	err := x.f.Close()
	x.f = nil
	return err
}

// sorted lists files oldest first, so that a rotated file is read before its
// successor.
func (f *Follower) sorted() []*file {
	return slices.SortedFunc(maps.Values(f.files), func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID.Ino, b.ID.Ino))
	})
}

// read hands out the complete lines of x, up to budget bytes, and returns how
// many bytes it read.
func (f *Follower) read(x *file, budget int64, emit func(Line)) (int64, error) {
	if x.f == nil {
		return 0, nil
	}
	info, err := x.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("stat %s: %w", x.Path, err)
	}
	if info.Size() == x.size && info.ModTime().Equal(x.modified) && x.size == x.Offset+int64(len(x.partial)) {
		return 0, nil
	}
	if err := f.verify(x, info.Size()); err != nil {
		return 0, err
	}
	x.size, x.modified = info.Size(), info.ModTime()
	x.quiet = f.o.Now()
	var total int64
	for total < budget {
		at := x.Offset + int64(len(x.partial))
		n, err := x.f.ReadAt(f.buf[:min(int64(len(f.buf)), budget-total)], at)
		total += int64(n)
		f.split(x, f.buf[:n], emit)
		if err != nil && !errors.Is(err, io.EOF) {
			return total, fmt.Errorf("read %s: %w", x.Path, err)
		}
		if err != nil || n == 0 {
			break
		}
	}
	if end := x.Offset + int64(len(x.partial)); x.size > end {
		f.work.More = true
	} else {
		x.size = end
	}
	if total > 0 {
		f.work.Moved = true
		return total, x.mark()
	}
	return total, nil
}

// split hands out the lines in chunk and keeps what follows the last newline.
func (f *Follower) split(x *file, chunk []byte, emit func(Line)) {
	for len(chunk) > 0 {
		i := bytes.IndexByte(chunk, '\n')
		part, whole := chunk, false
		if i >= 0 {
			part, chunk, whole = chunk[:i], chunk[i+1:], true
		} else {
			chunk = nil
		}
		f.piece(x, part, whole, emit)
	}
}

// piece takes the next part of a line, with its end if whole.
func (f *Follower) piece(x *file, part []byte, whole bool, emit func(Line)) {
	end := int64(0)
	if whole {
		end = 1
	}
	switch {
	case x.Skipping:
		x.Offset += int64(len(part)) + end
		x.Skipping = !whole
	case len(bytes.TrimLeft(x.partial, "\x00"))+len(bytes.TrimLeft(part, "\x00")) > f.o.MaxLine:
		f.work.Lines++
		emit(Line{TooLong: true})
		x.Offset += int64(len(x.partial)+len(part)) + end
		x.partial = x.partial[:0]
		x.Skipping = !whole
	case whole && len(x.partial) == 0:
		x.Offset += int64(len(part)) + 1
		f.hand(part, emit)
	case whole:
		x.partial = append(x.partial, part...)
		x.Offset += int64(len(x.partial)) + 1
		f.hand(x.partial, emit)
		x.partial = x.partial[:0]
	case len(x.partial) == 0 && len(bytes.TrimLeft(part, "\x00")) == 0:
		// A writer that kept its offset over a truncation leaves a hole of
		// zero bytes before its next line: no line, however long.
		x.Offset += int64(len(part))
	default:
		x.partial = append(x.partial, part...)
	}
}

// hand gives one line to the consumer, without the hole before it and without
// the carriage return after it. An empty line is no line.
func (f *Follower) hand(line []byte, emit func(Line)) {
	line = bytes.TrimLeft(line, "\x00")
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return
	}
	f.work.Lines++
	emit(Line{Data: line})
}

// retireLive is how many times longer than Idle a file at its own path stays
// open: names with a date leave many behind that never grow again.
const retireLive = 60

// retire closes files that stopped growing, and forgets those that are gone
// from the disk. A file that grows after all is opened again.
func (f *Follower) retire() {
	live := map[ID]bool{}
	for _, id := range f.byPath {
		live[id] = true
	}
	now := f.o.Now()
	for id, x := range f.files {
		idle := now.Sub(x.quiet)
		if x.f == nil || idle < f.o.Idle || x.size > x.Offset+int64(len(x.partial)) ||
			live[id] && (idle < retireLive*f.o.Idle || len(x.partial) > 0) {
			continue
		}
		if n := int64(len(x.partial)); n > 0 {
			// Nobody will end this line any more.
			f.work.Lost += n
			f.work.Gaps++
			x.Offset += n
			x.partial = nil
		}
		gone := links(x.f) == 0
		_ = x.close() // read only: nothing can be lost in closing
		x.Done = true
		f.work.Moved = true
		if gone {
			delete(f.files, id)
		}
	}
}
