package stack

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

const (
	// leastColumns is the narrowest terminal that tables are made for.
	leastColumns = 60
	// leastCell is what is left of a text that was cut.
	leastCell = 12
)

// writeText is the board as tables for terminals: as wide as they are, or, if
// terminal is not 0, as that many columns take.
func writeText(w io.Writer, v view, terminal int) error {
	var out strings.Builder
	if v.Banner != "" {
		fmt.Fprintf(&out, "! %s\n\n", v.Banner)
	}
	fmt.Fprintf(&out, "%s  %s\n%s\n\n", v.W.Title, v.At, v.Summary)
	rows := [][]string{{v.W.Item, v.W.Value, v.W.Normal, v.W.State, v.W.Since, v.W.Where}}
	var heads []int
	for _, s := range v.Sections {
		heads = append(heads, len(rows))
		rows = append(rows, []string{s.Title})
		for _, r := range s.Rows {
			at := r.Where
			if r.Count > 1 {
				at = fmt.Sprintf("%s (+%d)", at, r.Count-1)
			}
			rows = append(rows, []string{"  " + r.Title, r.Value, r.Normal, r.stateText(v.W), r.Since, at})
		}
	}
	// Where goes first: without it a line still says what is wrong since when.
	out.WriteString(align(fit(rows, heads, terminal, narrowing{optional: 5, cut: []int{0, 3}}), heads))
	fmt.Fprintf(&out, "\n%s\n", v.W.Alerts)
	if len(v.Alerts) == 0 {
		fmt.Fprintf(&out, "  %s\n", v.W.NoAlerts)
	}
	for _, a := range v.Alerts {
		fmt.Fprintf(&out, "  %s  %s  %s\n", a.Name, a.stateText(v.W), a.Since)
		for _, line := range []string{a.Description, a.Action, a.Runbook} {
			if line != "" {
				fmt.Fprintf(&out, "    %s\n", line)
			}
		}
	}
	v.writeNotices(&out, terminal)
	rows = nil
	for _, t := range v.Targets {
		rows = append(rows, []string{"  " + t.Job, t.Address, t.Health, t.LastScrape, t.Err})
	}
	fmt.Fprintf(&out, "\n%s\n%s", v.W.Targets, align(fit(rows, nil, terminal, narrowing{cut: []int{4}}), nil))
	_, err := io.WriteString(w, out.String())
	return err
}

func (v view) writeNotices(out *strings.Builder, terminal int) {
	fmt.Fprintf(out, "\n%s\n", v.W.Notices)
	if v.Elsewhere != "" {
		fmt.Fprintf(out, "  %s %s\n", v.W.SentTo, v.Elsewhere)
		return
	}
	var rows [][]string
	for _, n := range v.Notices {
		rows = append(rows, []string{"  " + n.At, n.Receiver, n.Status, n.Alerts, n.Delivery})
	}
	if len(rows) == 0 {
		fmt.Fprintf(out, "  %s\n", v.W.NoNotices)
	}
	out.WriteString(align(fit(rows, nil, terminal, narrowing{cut: []int{3, 4}}), nil))
	if v.Heartbeat != "" {
		fmt.Fprintf(out, "  %s\n", v.Heartbeat)
	}
}

// stateText is the state with the severity that says how bad it is.
func (s seriesView) stateText(w words) string {
	text := s.State
	if s.Severity != "" {
		text += " (" + s.Severity + ")"
	}
	if s.Recovering {
		text += ", " + w.Recovering
	}
	return text
}

// align pads cells to columns by what they take on a terminal. Rows in heads
// are not part of the columns.
func align(rows [][]string, heads []int) string {
	widths := columnWidths(rows, heads)
	var out strings.Builder
	for i, row := range rows {
		var line strings.Builder
		for c, cell := range row {
			line.WriteString(cell)
			if !slices.Contains(heads, i) {
				line.WriteString(strings.Repeat(" ", widths[c]-columns(cell)+2))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

// columnWidths are those of the widest cells.
func columnWidths(rows [][]string, heads []int) []int {
	var widths []int
	for i, row := range rows {
		if slices.Contains(heads, i) {
			continue
		}
		for c, cell := range row {
			for len(widths) <= c {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], columns(cell))
		}
	}
	return widths
}

// narrowing is how a table is made to fit: first optional is cut and then left
// out, then the columns of cut give way, in their order.
type narrowing struct {
	optional int
	cut      []int
}

// fit makes rows take no more columns than the terminal has, as far as that
// can be done; 0 is a terminal of any width.
func fit(rows [][]string, heads []int, terminal int, how narrowing) [][]string {
	if terminal == 0 {
		return rows
	}
	widths := columnWidths(rows, heads)
	over := 2*(len(widths)-1) - max(terminal, leastColumns)
	for _, w := range widths {
		over += w
	}
	shorten := func(c int) {
		if c >= len(widths) || over <= 0 {
			return
		}
		keep := max(min(widths[c], leastCell), widths[c]-over)
		over -= widths[c] - keep
		widths[c] = keep
		for i, row := range rows {
			if c < len(row) && !slices.Contains(heads, i) {
				row[c] = cut(row[c], keep)
			}
		}
	}
	if last := how.optional; last > 0 && last == len(widths)-1 {
		if shorten(last); over > 0 {
			over -= widths[last] + 2
			for i, row := range rows {
				rows[i] = row[:min(len(row), last)]
			}
		}
	}
	for _, c := range how.cut {
		shorten(c)
	}
	return rows
}

// cut is s in at most n columns, with a sign where something is missing: in
// the middle, because titles often differ at their ends.
func cut(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	letters := []rune(s)
	room := n / 2
	head := 0
	for ; columns(string(letters[:head+1])) <= room; head++ {
	}
	room = n - 1 - columns(string(letters[:head]))
	tail := len(letters)
	for ; columns(string(letters[tail-1:])) <= room; tail-- {
	}
	return strings.TrimRight(string(letters[:head]), " ") + "…" + strings.TrimLeft(string(letters[tail:]), " ")
}

// columns is how many cells of a terminal s takes: Korean letters take two,
// combining marks none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		if unicode.In(r, unicode.Mn, unicode.Me) {
			continue
		}
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
