package stack

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// writeText is the board as a table for terminals.
func writeText(w io.Writer, v view) error {
	var out strings.Builder
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
	out.WriteString(align(rows, heads))
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
	v.writeNotices(&out)
	rows = nil
	for _, t := range v.Targets {
		rows = append(rows, []string{"  " + t.Job, t.Address, t.Health, t.LastScrape, t.Err})
	}
	fmt.Fprintf(&out, "\n%s\n%s", v.W.Targets, align(rows, nil))
	_, err := io.WriteString(w, out.String())
	return err
}

func (v view) writeNotices(out *strings.Builder) {
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
	out.WriteString(align(rows, nil))
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
	isHead := map[int]bool{}
	for _, h := range heads {
		isHead[h] = true
	}
	var widths []int
	for i, row := range rows {
		for c, cell := range row {
			if isHead[i] {
				continue
			}
			for len(widths) <= c {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], columns(cell))
		}
	}
	var out strings.Builder
	for i, row := range rows {
		var line strings.Builder
		for c, cell := range row {
			line.WriteString(cell)
			if !isHead[i] {
				line.WriteString(strings.Repeat(" ", widths[c]-columns(cell)+2))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
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
