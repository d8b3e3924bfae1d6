package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bench is a directory of files, the Follower of them and what it handed out.
type bench struct {
	t     *testing.T
	dir   string
	o     Options
	f     *Follower
	now   time.Time
	lines []string
	sum   Progress
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), o: o, now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	if len(o.Patterns) == 0 {
		b.o.Patterns = []string{"app.log"}
	}
	for i, p := range b.o.Patterns {
		b.o.Patterns[i] = filepath.Join(b.dir, p)
	}
	b.o.Now = func() time.Time { return b.now }
	b.open(nil, nil)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) open(known []Position, before []string) {
	b.t.Helper()
	f, err := New(b.o, known, before)
	b.must(err)
	b.f = f
	b.t.Cleanup(func() { _ = f.Close() })
}

// restart goes on from the positions, as a new process would.
func (b *bench) restart() {
	b.t.Helper()
	known := b.f.Positions()
	b.must(Check(known))
	b.must(b.f.Close())
	b.open(known, b.f.o.Patterns)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name, text string) {
	b.t.Helper()
	f, err := os.OpenFile(b.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	b.must(err)
	_, err = f.WriteString(text)
	b.must(err)
	b.must(f.Close())
}

func (b *bench) rename(from, to string) {
	b.t.Helper()
	b.must(os.Rename(b.path(from), b.path(to)))
}

func (b *bench) copy(from, to string) {
	b.t.Helper()
	data, err := os.ReadFile(b.path(from))
	b.must(err)
	b.must(os.WriteFile(b.path(to), data, 0o644))
}

func (b *bench) remove(name string) { b.t.Helper(); b.must(os.Remove(b.path(name))) }

// poll polls until nothing is left, and at least n times.
func (b *bench) poll(n int) {
	b.t.Helper()
	for i := 0; i < 1000; i++ {
		p, err := b.f.Poll(func(l Line) {
			if l.TooLong {
				b.lines = append(b.lines, "TOO LONG")
			} else {
				b.lines = append(b.lines, string(l.Data))
			}
		})
		b.must(err)
		b.sum.Gaps += p.Gaps
		b.sum.Lost += p.Lost
		b.sum.Lag, b.sum.Files = p.Lag, p.Files
		if i+1 >= n && !p.More {
			return
		}
	}
	b.t.Fatal("there is always more")
}

// want compares the lines since the last call, in any order between files.
func (b *bench) want(lines ...string) {
	b.t.Helper()
	if diff := cmp.Diff(strings.Join(b.lines, "\n"), strings.Join(lines, "\n")); diff != "" {
		b.t.Errorf("lines differ (-got +want):\n%s", diff)
	}
	b.lines = nil
}

func (b *bench) wantLost(gaps int, lost int64) {
	b.t.Helper()
	if b.sum.Gaps != gaps || b.sum.Lost != lost {
		b.t.Errorf("got %d gaps and %d bytes lost, want %d and %d", b.sum.Gaps, b.sum.Lost, gaps, lost)
	}
}

func TestFollowerStartsAtTheEndAndKeepsPartialLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "old\nhalf")
	b.poll(1)
	b.want()
	if b.sum.Lag != 4 {
		t.Errorf("got a lag of %d bytes, want 4", b.sum.Lag)
	}
	b.write("app.log", " whole\nne")
	b.poll(1)
	b.want("half whole")
	b.restart()
	b.write("app.log", "xt\r\n\n")
	b.poll(1)
	b.want("next")
	b.wantLost(0, 0)
}

func TestFollowerStartsAtTheBeginningIfAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{FromStart: true})
	b.write("app.log", "one\n")
	b.write("app.log.1", "history\n")
	b.poll(1)
	b.want("one")
}

func TestFollowerReadsLateFilesFromTheirBeginning(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"*.log", "late/x"}})
	b.write("a.log", "old\n")
	b.poll(1)
	b.write("b.log", "b1\n")
	b.must(os.Mkdir(b.path("late"), 0o755))
	b.write("late/x", "x1\n")
	b.poll(1)
	b.want("b1", "x1")
	b.restart()
	b.write("c.log", "c1\n")
	b.write("a.log", "a2\n")
	b.poll(1)
	b.want("a2", "c1")
}

func TestFollowerDrainsRenamedFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "old\n")
	b.write("app.log.1", "history\n")
	b.poll(1)
	b.rename("app.log.1", "app.log.2")
	b.rename("app.log", "app.log.1")
	b.write("app.log.1", "to the old one\n")
	b.write("app.log", "new\n")
	b.poll(1)
	b.want("to the old one", "new")
	b.write("app.log.1", "late writer\n")
	b.poll(1)
	b.want("late writer")
	b.wantLost(0, 0)
}

func TestFollowerFindsTheMiddleOfTwoRotations(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart_%v", restart), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			// All lines are the same, so that nothing but names and inodes tells.
			b.write("app.log", "same\n")
			b.poll(1)
			b.write("app.log", "same\n")
			b.poll(1)
			b.write("app.log", "same\n")
			b.rename("app.log", "app.log.1")
			b.write("app.log", "same\nsame\nsame\nsame\n")
			b.rename("app.log.1", "app.log.2")
			b.rename("app.log", "app.log.1")
			b.write("app.log", "same\n")
			if restart {
				b.restart()
			}
			b.poll(5)
			b.want("same", "same", "same", "same", "same", "same", "same")
			b.wantLost(0, 0)
		})
	}
}

func TestFollowerFindsDatedRotations(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "old\n")
	b.poll(1)
	b.write("app.log", "1\n")
	b.rename("app.log", "app-2026-06-01T00-00-00.000.log")
	b.write("app.log", "2\n")
	b.rename("app.log", "app-2026-06-01T00-00-01.000.log")
	b.write("app-2.log", "another program\n")
	b.restart()
	b.write("app.log", "3\n")
	b.poll(1)
	b.want("1", "3", "2") // the middle one is found last
	b.wantLost(0, 0)
}

func TestFollowerCountsATruncation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, next string
		lost       int64
	}{
		{"shorter", "x\n", 0},
		{"longer", strings.Repeat("y", 60) + "\n", 0},
		{"as_long", "3\n4\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			b.write("app.log", "")
			b.poll(1)
			b.write("app.log", "1\n2\n")
			b.poll(1)
			b.must(os.Truncate(b.path("app.log"), 0))
			b.write("app.log", c.next)
			b.must(os.Chtimes(b.path("app.log"), time.Time{}, time.Unix(2_000_000_000, 0)))
			b.poll(2)
			b.want(append([]string{"1", "2"}, strings.Split(strings.TrimSpace(c.next), "\n")...)...)
			b.wantLost(1, c.lost)
		})
	}
}

func TestFollowerCountsBytesKnownToBeLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxBytes: 4})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n2\n3\n4\n")
	if _, err := b.f.Poll(func(Line) {}); err != nil {
		t.Fatal(err)
	}
	b.must(os.Truncate(b.path("app.log"), 0))
	b.poll(1)
	b.wantLost(1, 4)
}

func TestFollowerReadsOnInTheCopyOfATruncatedFile(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for _, pattern := range []string{"app.log", "app.log*"} {
			t.Run(fmt.Sprintf("%s_restart_%v", strings.ReplaceAll(pattern, "*", "_glob"), restart), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{Patterns: []string{pattern}})
				b.write("app.log", "old\n")
				b.poll(1)
				b.write("app.log", "1\n")
				b.poll(1)
				b.write("app.log", "2\n3\n")
				b.copy("app.log", "app.log.1")
				b.must(os.Truncate(b.path("app.log"), 0))
				b.write("app.log", "4\n")
				if restart {
					b.restart()
				}
				b.poll(4)
				b.want("1", "4", "2", "3")
				b.wantLost(1, 0)
			})
		}
	}
}

func TestFollowerReadsOnInACopySeenWhileItWasMade(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"app.log*"}})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n2\n")
	b.poll(1)
	for _, part := range []string{"", "1", "\n2\n"} {
		b.write("app.log.1", part)
		b.poll(1)
		b.restart()
	}
	b.write("app.log", "3\n")
	b.write("app.log.1", "3\n")
	b.must(os.Truncate(b.path("app.log"), 0))
	b.poll(3)
	b.want("1", "2", "3")
	b.wantLost(1, 0)
}

func TestFollowerDoesNotReadACopy(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"app.log*"}})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n2\n")
	b.poll(1)
	b.copy("app.log", "app.log.bak1")
	b.poll(1)
	b.write("app.log", "3\n")
	b.poll(1)
	b.rename("app.log", "app.log.1")
	b.write("app.log", "4\n")
	b.poll(2)
	b.restart()
	b.poll(5)
	b.want("1", "2", "3", "4")
	b.wantLost(0, 0)
}

func TestFollowerReadsARotatedNameThatIsALogOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"app*.log"}})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n2\n")
	b.poll(1)
	b.write("app-20260601.log", "other\n")
	b.poll(2)
	b.write("app-20260601.log", "more\n")
	b.poll(2)
	b.want("1", "2", "other", "more")
}

func TestFollowerGoesOnInAFileThatAnEditorWroteAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n2\n")
	b.poll(1)
	b.copy("app.log", "tmp")
	b.write("tmp", "3\n")
	b.rename("tmp", "app.log")
	b.poll(2)
	b.want("1", "2", "3")
}

func TestFollowerDrainsDeletedFilesAndLetsThemGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "")
	b.poll(1)
	w, err := os.OpenFile(b.path("app.log"), os.O_APPEND|os.O_WRONLY, 0)
	b.must(err)
	defer w.Close()
	b.remove("app.log")
	_, err = w.WriteString("after deletion\nhalf")
	b.must(err)
	b.poll(1)
	b.want("after deletion")
	b.now = b.now.Add(DefaultIdle - time.Second)
	b.poll(1)
	if b.sum.Files != 1 {
		t.Errorf("got %d files open just before the idle time, want 1", b.sum.Files)
	}
	b.now = b.now.Add(time.Second)
	b.poll(2)
	if b.sum.Files != 0 || len(b.f.Positions()) != 0 {
		t.Errorf("got %d files open and positions %v, want none", b.sum.Files, b.f.Positions())
	}
	b.wantLost(1, 4)
	b.write("app.log", "again\n")
	b.poll(1)
	b.want("again")
}

func TestFollowerReportsAFileDeletedWhileItWasDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "old\n")
	b.poll(1)
	b.remove("app.log")
	b.restart()
	b.poll(2)
	b.now = b.now.Add(forgetAfter - time.Second)
	b.poll(1)
	b.wantLost(0, 0)
	b.now = b.now.Add(time.Second)
	b.poll(1)
	b.wantLost(1, 0)
	if got := b.f.Positions(); len(got) != 0 {
		t.Errorf("still knows %v", got)
	}
}

func TestFollowerWaitsForAFileThatAListingMissed(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{FromStart: true})
	b.write("app.log", "1\n")
	b.poll(1)
	b.rename("app.log", "elsewhere")
	b.restart()
	b.now = b.now.Add(forgetAfter)
	b.poll(5)
	b.rename("elsewhere", "app.log.1")
	b.write("app.log.1", "2\n")
	b.poll(1)
	b.now = b.now.Add(forgetAfter)
	b.poll(1)
	b.want("1", "2")
	b.wantLost(0, 0)
}

func TestFollowerListsAgainWhatOneListingMissed(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.write("app.log", "")
	b.poll(1)
	b.rename("app.log", "app.log.2")
	b.write("between names", "middle\n")
	b.write("app.log", "new\n")
	b.poll(1)
	b.now = b.now.Add(rescanFor)
	b.rename("between names", "app.log.1")
	b.poll(1)
	b.want("new", "middle")
	b.write("app.log.3", "nothing rotated\n")
	b.poll(1)
	b.want()
}

func TestFollowerKnowsAnInodeThatWasGivenToAnotherFile(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		b := newBench(t, Options{})
		b.write("app.log", "1\n2\n3\n")
		info, err := os.Stat(b.path("app.log"))
		b.must(err)
		id, _ := identify(info)
		b.open([]Position{{ID: id, Primary: b.path("app.log"), Path: b.path("app.log.1"), Offset: 4, Done: done,
			Head: Span{Len: 4, Sum: 1}, Tail: Span{Len: 4, Sum: 1}}}, b.o.Patterns)
		b.poll(1)
		b.want("1", "2", "3")
		if done {
			b.wantLost(0, 0)
		} else {
			b.wantLost(1, 0)
		}
	}
}

func TestFollowerClosesRotatedFilesAndNeverReadsThemAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"app.log*"}})
	b.write("app.log", "")
	b.poll(1)
	b.write("app.log", "1\n")
	b.poll(1)
	b.rename("app.log", "app.log.1")
	b.write("app.log", "2\n")
	b.poll(1)
	b.now = b.now.Add(DefaultIdle)
	b.poll(1)
	if b.sum.Files != 1 {
		t.Errorf("got %d files open, want 1", b.sum.Files)
	}
	b.rename("app.log.1", "app.log.2")
	b.rename("app.log", "app.log.1")
	b.write("app.log", "3\n")
	b.restart()
	b.poll(5)
	b.want("1", "2", "3")
	b.write("app.log.2", "very late writer\n")
	b.poll(2)
	b.want("very late writer")
	b.wantLost(0, 0)
}

func TestFollowerClosesFilesThatRestAndOpensThemAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"*.log"}})
	b.write("a.log", "")
	b.write("b.log", "half")
	b.poll(1)
	b.now = b.now.Add(retireLive*DefaultIdle - time.Second)
	b.poll(1)
	if b.sum.Files != 2 {
		t.Errorf("got %d files open just before the time, want 2", b.sum.Files)
	}
	b.now = b.now.Add(time.Second)
	b.poll(1)
	if b.sum.Files != 1 {
		t.Errorf("got %d files open, want the one that waits for a newline", b.sum.Files)
	}
	b.write("a.log", "1\n")
	b.write("b.log", " whole\n")
	b.poll(1)
	b.now = b.now.Add(retireLive * DefaultIdle)
	b.poll(1)
	b.write("a.log", "2\n")
	b.rename("a.log", "a.log.1")
	b.write("a.log", "3\n")
	b.poll(2)
	b.want("1", "half whole", "2", "3")
	b.wantLost(0, 0)
}

func TestFollowerSkipsOverLongLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxLine: 8, FromStart: true})
	b.write("app.log", "12345678\n123456789\nok\n"+strings.Repeat("x", 1<<20))
	b.poll(1)
	b.want("12345678", "TOO LONG", "ok", "TOO LONG")
	b.restart()
	b.write("app.log", strings.Repeat("x", 1<<20))
	b.poll(1)
	b.write("app.log", "y\nend\n")
	b.poll(1)
	b.want("end")
	for _, x := range b.f.files {
		if cap(x.partial) > 64 {
			t.Errorf("keeps %d bytes of a line that is skipped", cap(x.partial))
		}
	}
	b.wantLost(0, 0)
}

func TestFollowerSkipsTheHoleBeforeALine(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxLine: 64})
	b.write("app.log", "")
	b.poll(1)
	w, err := os.OpenFile(b.path("app.log"), os.O_WRONLY, 0)
	b.must(err)
	defer w.Close()
	_, err = w.WriteString(strings.Repeat("a line\n", 1<<16))
	b.must(err)
	b.poll(1)
	b.lines = nil
	b.must(os.Truncate(b.path("app.log"), 0))
	_, err = w.WriteString("after the hole\n")
	b.must(err)
	b.poll(1)
	b.want("after the hole")
	b.wantLost(1, 0)
}

func TestFollowerStartsInsideALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxLine: 8})
	b.write("app.log", strings.Repeat("x", 100))
	b.poll(1)
	b.write("app.log", "xx\nnext\n")
	b.poll(1)
	b.want("next")
}

func TestFollowerSeesThroughLinks(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"links/*.log"}})
	b.must(os.MkdirAll(b.path("links"), 0o755))
	b.must(os.MkdirAll(b.path("pods"), 0o755))
	b.write("pods/0.log", "old\n")
	b.must(os.Symlink("../pods/0.log", b.path("links/a.log")))
	b.must(os.Symlink("../pods/0.log", b.path("links/b.log")))
	b.poll(1)
	b.write("pods/0.log", "1\n")
	b.rename("pods/0.log", "pods/0.log.20260601")
	b.write("pods/0.log", "2\n")
	b.rename("pods/0.log", "pods/0.log.20260602")
	b.restart()
	b.poll(1)
	b.write("pods/0.log", "3\n")
	b.poll(5)
	b.want("1", "2", "3")
	b.wantLost(0, 0)
}

func TestFollowerIgnoresWhatIsNoFileOrWasPacked(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"app.log", "dir*"}})
	b.must(os.Mkdir(b.path("dir.1"), 0o755))
	b.poll(1)
	b.write("app.log", "1\n")
	b.poll(1)
	b.rename("app.log", "app.log.1")
	b.copy("app.log.1", "app.log.1.gz")
	b.remove("app.log.1")
	b.write("app.log", "2\n")
	b.poll(5)
	b.want("1", "2")
}

func TestFollowerNamesAFileItCannotRead(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		// Root reads everything; a loop of links nobody can.
		b := newBench(t, Options{})
		b.must(os.Symlink("app.log", b.path("app.log")))
		if _, err := b.f.Poll(func(Line) {}); err == nil || !strings.Contains(err.Error(), b.path("app.log")) {
			t.Errorf("got error %v, want one that names the file", err)
		}
		return
	}
	b := newBench(t, Options{FromStart: true})
	b.write("app.log", "1\n")
	b.must(os.Chmod(b.path("app.log"), 0))
	if _, err := b.f.Poll(func(Line) {}); err == nil || !strings.Contains(err.Error(), b.path("app.log")) {
		t.Errorf("got error %v, want one that names the file", err)
	}
	b.must(os.Chmod(b.path("app.log"), 0o644))
	b.poll(1)
	b.want("1")
}

func TestFollowerForgetsFilesOfRemovedPatterns(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"a.log", "b.log"}})
	b.write("a.log", "")
	b.write("b.log", "")
	b.poll(1)
	b.o.Patterns = b.o.Patterns[:1]
	b.restart()
	b.write("a.log", "a\n")
	b.write("b.log", "b\n")
	b.poll(4)
	b.want("a")
	b.wantLost(0, 0)
}

func TestFollowerPlacesFilesOfNewPatternsAsAtAFirstStart(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Patterns: []string{"a.log"}})
	b.write("a.log", "")
	b.poll(1)
	b.write("b.log.1", "history\n")
	b.write("b.log", "old\n")
	b.write("a.log", "a\n")
	b.o.Patterns = []string{b.path("a.log"), b.path("[b].log")}
	b.restart()
	b.poll(1)
	b.want("a")
	b.rename("b.log.1", "b.log.2")
	b.rename("b.log", "b.log.1")
	b.write("b.log", "new\n")
	b.poll(2)
	b.want("new")
	b.wantLost(0, 0)
}

func TestNewRejectsABadPattern(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Patterns: []string{"/x/[a"}}, nil, nil); err == nil {
		t.Error("got no error")
	}
}

func TestCheckRefusesImpossiblePositions(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]Position{
		"negative":  {{Offset: -1}},
		"long_head": {{Offset: 2, Head: Span{Len: 3}}},
		"long_tail": {{Offset: 5000, Tail: Span{Len: markLen + 1}}},
		"twice":     {{ID: ID{1, 2}}, {ID: ID{1, 2}}},
	} {
		if Check(bad) == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
