package stack

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// seriesShown is how many series of one check are listed.
const seriesShown = 50

// alertsShown is how many alerts of one notification are named.
const alertsShown = 10

// nothing stands where there is no value.
const nothing = "–"

// view is a board in words: what the text and the HTML have in common.
type view struct {
	W    words
	Lang string
	At   string
	// Banner says that people are not told; empty where they are.
	Banner string
	// Summary counts the checks by their states and, where they do not say the
	// same, the alerts; Counts are its parts.
	Summary  string
	Counts   []countView
	Sections []sectionView
	Alerts   []alertView
	// Elsewhere is the Alertmanager that alerts are sent to.
	Elsewhere string
	Notices   []noticeView
	Heartbeat string
	Targets   []targetView
}

// countView is a part of the summary.
type countView struct {
	Text string
	// Alerts says that the alerts of the page tell more.
	Alerts bool
}

type sectionView struct {
	Title string
	Rows  []rowView
}

type rowView struct {
	seriesView
	Check, Title string
	// Normals are the thresholds as what is still good, Normal all of them.
	Normals []string
	Normal  string
	Spark   spark
	// Count is how many series there are, Others those after the worst, Hidden
	// how many of them are not listed.
	Count, Hidden int
	Others        []seriesView
}

type seriesView struct {
	Value, Where, State, Severity, Since string
	// Class is the state and the severity for the style sheet.
	Class      string
	Recovering bool
}

type alertView struct {
	seriesView
	Name, Summary, Description, Action, Runbook string
}

type noticeView struct{ At, Receiver, Status, Class, Alerts, Delivery string }

type targetView struct{ Job, Address, Health, Class, LastScrape, Err string }

// viewer puts boards into words.
type viewer struct {
	words    words
	lang     string
	location *time.Location
}

func (v viewer) view(b *Board) view {
	out := view{W: v.words, Lang: v.lang, At: b.At.In(v.location).Format("2006-01-02 15:04:05 MST"), Elsewhere: clean(b.Alertmanager), Banner: v.banner(b)}
	count := map[State]int{}
	for _, s := range b.Sections {
		section := sectionView{Title: s.Title}
		for _, r := range s.Rows {
			count[r.State]++
			section.Rows = append(section.Rows, v.row(r, b.At))
		}
		out.Sections = append(out.Sections, section)
	}
	out.Counts = v.counts(b.Alerts, count)
	var parts []string
	for _, c := range out.Counts {
		parts = append(parts, c.Text)
	}
	out.Summary = strings.Join(parts, " · ")
	for _, a := range b.Alerts {
		s := Series{Labels: a.Labels, State: a.State, Severity: checklist.Severity(a.Severity), Since: a.Since, Recovering: a.Recovering}
		av := v.series(s, Row{}, b.At)
		if a.State == Breached {
			av.State = v.words.Firing
		}
		out.Alerts = append(out.Alerts, alertView{
			seriesView: av, Name: clean(a.Name), Summary: clean(a.Summary),
			Description: clean(a.Description), Action: clean(a.Action), Runbook: webLink(a.Runbook),
		})
	}
	for _, n := range b.Notices {
		out.Notices = append(out.Notices, v.notice(n))
	}
	out.Heartbeat = v.heartbeat(b)
	for _, t := range b.Targets {
		tv := targetView{Job: clean(t.Job), Address: clean(t.Address), Health: v.words.health(t.Health), Class: "health-" + t.Health, Err: clean(t.Err), LastScrape: nothing}
		if !t.LastScrape.IsZero() {
			tv.LastScrape = v.since(t.LastScrape, b.At)
		}
		out.Targets = append(out.Targets, tv)
	}
	return out
}

// banner says which receivers are not reached, and nothing of how: that is
// told with the notifications.
func (v viewer) banner(b *Board) string {
	var out []string
	if b.AlertmanagerFails {
		out = append(out, v.words.Unsent)
	}
	if n := len(b.Undelivered); n > 0 {
		out = append(out, fmt.Sprintf(v.words.Undelivered, n, clean(strings.Join(b.Undelivered, ", "))))
	}
	return strings.Join(out, " ")
}

// counts are the parts of the summary. An absent signal is an alert and no
// check, and one check may have many alerts.
func (v viewer) counts(alerts []BoardAlert, checks map[State]int) []countView {
	var out []countView
	for _, s := range []State{Breached, Pending, NoData, OK} {
		out = append(out, countView{fmt.Sprintf("%s %d", v.words.state(s), checks[s]), s == Breached || s == Pending})
	}
	count := map[State]int{}
	for _, a := range alerts {
		count[a.State]++
	}
	if count[Breached] != checks[Breached] || count[Pending] != checks[Pending] {
		text := fmt.Sprintf("%s %s %d, %s %d", v.words.AlertsAre, v.words.Firing, count[Breached], v.words.Pending, count[Pending])
		out = append(out, countView{text, true})
	}
	return out
}

// heartbeat says when the dead man's switch was sent, and when it arrived where
// that is not the same. It is empty before the first.
func (v viewer) heartbeat(b *Board) string {
	if b.Heartbeat == nil {
		return ""
	}
	h := v.notice(*b.Heartbeat)
	head := v.words.Heartbeat
	if slices.Contains(b.Undelivered, b.Heartbeat.Receiver) {
		head = v.words.HeartbeatNever
		if !b.HeartbeatDelivered.IsZero() {
			head = fmt.Sprintf(v.words.HeartbeatLast, v.since(b.HeartbeatDelivered, b.At))
		}
		head += "; " + v.words.HeartbeatTried
	}
	return fmt.Sprintf("%s %s → %s (%s)", head, h.At, h.Receiver, h.Delivery)
}

func (v viewer) row(r Row, at time.Time) rowView {
	out := rowView{Check: r.Check, Title: r.Title, Normals: v.normals(r), Count: len(r.Series), Spark: newSpark(r, at)}
	out.Normal = strings.Join(out.Normals, " / ")
	worst, ok := r.Worst()
	if !ok {
		out.seriesView = seriesView{Value: nothing, Since: nothing, State: v.words.NoData, Class: string(NoData)}
		return out
	}
	out.seriesView = v.series(worst, r, at)
	for i, s := range r.Series[1:] {
		if i == seriesShown-1 {
			out.Hidden = len(r.Series) - seriesShown
			break
		}
		out.Others = append(out.Others, v.series(s, r, at))
	}
	return out
}

func (v viewer) series(s Series, of Row, at time.Time) seriesView {
	out := seriesView{
		Value: nothing, Where: clean(where(s.Labels)), State: v.words.state(s.State), Since: nothing,
		Class: string(s.State), Recovering: s.Recovering,
	}
	if !math.IsNaN(s.Value) {
		out.Value = v.value(s.Value, of)
	}
	if s.Severity != "" {
		out.Severity = v.words.severity(string(s.Severity))
		out.Class += " " + string(s.Severity)
	}
	if !s.Since.IsZero() {
		out.Since = v.since(s.Since, at)
	}
	return out
}

func (v viewer) notice(n Notice) noticeView {
	out := noticeView{
		At: n.At.In(v.location).Format("15:04:05"), Receiver: clean(n.Receiver), Status: v.words.status(n.Status), Class: n.Status,
	}
	var alerts, deliveries []string
	for i, a := range n.Alerts {
		if i == alertsShown {
			alerts = append(alerts, fmt.Sprintf("+%d", len(n.Alerts)+n.MoreAlerts-i))
			break
		}
		alerts = append(alerts, a.String())
	}
	for _, d := range n.Deliveries {
		deliveries = append(deliveries, v.words.delivery(d))
	}
	out.Alerts, out.Delivery = clean(strings.Join(alerts, ", ")), clean(strings.Join(deliveries, ", "))
	return out
}

// since is a time of day, with the date where it was not today, and its age.
func (v viewer) since(t, at time.Time) string {
	t, at = t.In(v.location), at.In(v.location)
	layout := "15:04:05"
	if t.Format(time.DateOnly) != at.Format(time.DateOnly) {
		layout = "2006-01-02 15:04"
	}
	age := max(0, at.Sub(t))
	switch {
	case age >= time.Hour:
		age = age.Truncate(time.Minute)
	default:
		age = age.Truncate(time.Second)
	}
	return fmt.Sprintf("%s (%s)", t.Format(layout), model.Duration(age))
}

// value is a value in the row's unit. A check of a state has a title that is
// true when all is well, so its value is yes or no.
func (v viewer) value(value float64, r Row) string {
	if r.Unit != checklist.State {
		return r.Unit.Format(value)
	}
	if r.Level().Breached(value) {
		return v.words.No
	}
	return v.words.Yes
}

// normals are the thresholds of a row as what is still good.
func (v viewer) normals(r Row) []string {
	if r.Unit == checklist.State {
		return []string{v.words.Yes}
	}
	var out []string
	for _, l := range r.Levels {
		sign := "≤ "
		if l.Bad == checklist.Below {
			sign = "≥ "
		}
		out = append(out, sign+r.Unit.Format(l.Threshold))
	}
	return out
}

// where are labels for people: values with their names, without braces.
func where(ls labels.Labels) string {
	var out []string
	ls.Range(func(l labels.Label) { out = append(out, l.Name+"="+l.Value) })
	return strings.Join(out, " ")
}

// webLink is a link that may be followed from the page; anything but http and
// https is dropped.
func webLink(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.String()
}

// clean takes out what would steer a terminal or reorder a line: labels and
// error texts come from outside.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
