package tail

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
)

// markLen is how many bytes each hash of a Mark covers at most.
const markLen = 1024

// ID is the device and inode of a file.
type ID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// Span is the hash of some bytes of a file.
type Span struct {
	Len int    `json:"len"`
	Sum uint64 `json:"sum,string"`
}

// Position is where to go on in one file.
type Position struct {
	ID ID `json:"id"`
	// Primary is the path that a pattern matched; Path is where the file was
	// last seen, which differs after a rotation.
	Primary string `json:"primary"`
	Path    string `json:"path"`
	// Offset is behind the last line handed out, in bytes.
	Offset int64 `json:"offset"`
	// Skipping tells that Offset is inside a line that is too long.
	Skipping bool `json:"skipping,omitempty"`
	// Seq orders files by when they were first seen.
	Seq int64 `json:"seq"`
	// Head hashes the first bytes and Tail the bytes before Offset: a file
	// that was truncated and filled again past Offset differs in one.
	Head Span `json:"head"`
	Tail Span `json:"tail"`
	// Done marks a rotated file that was read to its end and let go.
	Done bool `json:"done,omitempty"`
	// Copy marks a copy of a followed file and Pending what may become one:
	// neither is read, and Pending is looked at again.
	Copy    bool `json:"copy,omitempty"`
	Pending bool `json:"pending,omitempty"`
}

func identify(info os.FileInfo) (ID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}, false
	}
	return ID{Dev: uint64(st.Dev), Ino: st.Ino}, true
}

// links is the number of names that an open file has, 1 if it cannot be told.
func links(f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		return 1
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// spanAt hashes n bytes of r from offset at.
func spanAt(r io.ReaderAt, at int64, n int) (Span, error) {
	if n == 0 {
		return Span{}, nil
	}
	var buf [markLen]byte
	got, err := r.ReadAt(buf[:n], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return Span{}, err
	}
	h := fnv.New64a()
	_, _ = h.Write(buf[:got]) // a hash never fails
	return Span{Len: got, Sum: h.Sum64()}, nil
}

// mark writes down the hashes that belong to Offset.
func (x *file) mark() error {
	n := int(min(x.Offset, markLen))
	var err error
	if x.Head.Len < n {
		if x.Head, err = spanAt(x.f, 0, n); err != nil {
			return fmt.Errorf("read %s: %w", x.Path, err)
		}
	}
	if x.Tail, err = spanAt(x.f, x.Offset-int64(n), n); err != nil {
		return fmt.Errorf("read %s: %w", x.Path, err)
	}
	return nil
}

// holds tells whether r begins with what was read at p.
func (p Position) holds(r io.ReaderAt) (bool, error) {
	head, err := spanAt(r, 0, p.Head.Len)
	if err != nil || head != p.Head {
		return false, err
	}
	tail, err := spanAt(r, p.Offset-int64(p.Tail.Len), p.Tail.Len)
	return tail == p.Tail, err
}

// verify starts a file again from its beginning when it was truncated: it is
// shorter than what was read, or holds something else.
func (f *Follower) verify(x *file, size int64) error {
	same := size >= x.Offset+int64(len(x.partial))
	if same {
		var err error
		if same, err = x.holds(x.f); err != nil {
			return fmt.Errorf("read %s: %w", x.Path, err)
		}
	}
	if same {
		return nil
	}
	before := x.Position
	x.before, x.unread = &before, max(x.size-x.Offset, 0)
	f.work.Gaps++
	f.work.Moved = true
	x.Offset, x.Head, x.Tail, x.Skipping = 0, Span{}, Span{}, false
	x.partial = x.partial[:0]
	return nil
}

// Check refuses positions that no Follower hands out.
func Check(known []Position) error {
	seen := map[ID]bool{}
	for _, p := range known {
		n := int(min(p.Offset, markLen))
		switch {
		case p.Offset < 0 || p.Seq < 0:
			return fmt.Errorf("position in %q is negative", p.Path)
		case p.Head.Len < 0 || p.Head.Len > n || p.Tail.Len < 0 || p.Tail.Len > n:
			return fmt.Errorf("hashes of %q do not fit its offset", p.Path)
		case seen[p.ID]:
			return fmt.Errorf("%q is listed twice", p.Path)
		}
		seen[p.ID] = true
	}
	return nil
}
