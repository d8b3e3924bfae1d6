package stack

import (
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const (
	// journalSize is how many notifications the page remembers.
	journalSize = 50
	// journalAlerts is how many alerts of a notification it remembers.
	journalAlerts = 100
)

// Notice is one notification: a group of alerts for one receiver.
type Notice struct {
	At       time.Time     `json:"at"`
	Receiver string        `json:"receiver"`
	Status   string        `json:"status"` // firing or resolved
	Alerts   []NoticeAlert `json:"alerts"`
	// MoreAlerts is how many alerts it held beside those.
	MoreAlerts int `json:"more_alerts,omitempty"`
	// Deliveries are empty where nothing but the log was asked for.
	Deliveries []Delivery `json:"deliveries"`

	group string
	print string
	noted bool
}

// NoticeAlert is one alert of a notification.
type NoticeAlert struct {
	Name   string        `json:"name"`
	Labels labels.Labels `json:"labels"`
	Status string        `json:"status"`
}

// String is the alert in words; its labels may hold anything.
func (a NoticeAlert) String() string { return strings.TrimSpace(a.Name + " " + where(a.Labels)) }

// Delivery is what became of a notification at one integration.
type Delivery struct {
	Via    string `json:"via"`
	Status string `json:"status"` // waiting, delivered or failed
	Detail string `json:"detail,omitempty"`
}

// The states of a delivery.
const (
	waiting   = "waiting"
	delivered = "delivered"
	failed    = "failed"
)

// journal holds the last notifications in memory.
type journal struct {
	logger *slog.Logger
	now    func() time.Time

	mu        sync.Mutex
	notices   []*Notice // newest last
	heartbeat *Notice   // the last of the dead man's switch
	// failing are the integrations whose last delivery failed.
	failing map[outlet]bool
	beaten  time.Time // when the dead man's switch was last delivered
}

// outlet is one integration of a receiver.
type outlet struct{ receiver, via string }

func newJournal(logger *slog.Logger, now func() time.Time) *journal {
	return &journal{logger: logger, now: now, failing: map[outlet]bool{}}
}

// batch is a group of alerts on its way to a receiver.
type batch struct {
	receiver, group string
	alerts          []*alert.Alert
}

// note enters a notification and logs it.
func (j *journal) note(b batch, via []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.entry(b, func(n *Notice) bool { return !n.noted })
	n.noted = true
	for _, v := range via {
		if !slices.ContainsFunc(n.Deliveries, func(d Delivery) bool { return d.Via == v }) {
			n.Deliveries = append(n.Deliveries, Delivery{Via: v, Status: waiting})
		}
	}
	if isHeartbeat(b) {
		j.logger.Debug("heartbeat", "receiver", b.receiver)
		return
	}
	names := make([]string, 0, alertsShown)
	for _, a := range n.Alerts[:min(len(n.Alerts), alertsShown)] {
		names = append(names, a.String())
	}
	j.logger.Info("notification", "receiver", n.Receiver, "status", n.Status, "alerts", names, "alert_count", len(n.Alerts)+n.MoreAlerts)
}

// delivered enters what became of a notification.
func (j *journal) delivered(b batch, d Delivery) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.outcome(b, d)
	n := j.entry(b, func(n *Notice) bool {
		return !slices.ContainsFunc(n.Deliveries, func(old Delivery) bool { return old.Via == d.Via && old.Status == delivered })
	})
	if i := slices.IndexFunc(n.Deliveries, func(old Delivery) bool { return old.Via == d.Via }); i >= 0 {
		n.Deliveries[i] = d
		return
	}
	n.Deliveries = append(n.Deliveries, d)
}

// outcome remembers the last result of each integration, for longer than its
// notification is remembered.
func (j *journal) outcome(b batch, d Delivery) {
	if d.Status == failed {
		j.failing[outlet{b.receiver, d.Via}] = true
		return
	}
	delete(j.failing, outlet{b.receiver, d.Via})
	if isHeartbeat(b) {
		j.beaten = j.now()
	}
}

// outcomes are the receivers whose last delivery failed, by name, and when the
// dead man's switch was last delivered; zero when it never was.
func (j *journal) outcomes() (undelivered []string, beaten time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for s := range j.failing {
		undelivered = append(undelivered, s.receiver)
	}
	slices.Sort(undelivered)
	return slices.Compact(undelivered), j.beaten
}

// entry finds the notification that b belongs to, or begins one. The last one
// of the group is taken where it says the same and is still open.
func (j *journal) entry(b batch, open func(*Notice) bool) *Notice {
	print := fingerprint(b.alerts)
	if isHeartbeat(b) {
		if j.heartbeat == nil || !open(j.heartbeat) {
			j.heartbeat = j.newNotice(b, print)
		}
		return j.heartbeat
	}
	for _, n := range slices.Backward(j.notices) {
		if n.group != b.group || n.Receiver != b.receiver {
			continue
		}
		if n.print == print && open(n) {
			return n
		}
		break
	}
	n := j.newNotice(b, print)
	j.notices = append(j.notices, n)
	if len(j.notices) > journalSize {
		j.notices = slices.Delete(j.notices, 0, len(j.notices)-journalSize)
	}
	return n
}

func (j *journal) newNotice(b batch, print string) *Notice {
	n := &Notice{At: j.now(), Receiver: b.receiver, Status: string(model.AlertResolved), group: b.group, print: print}
	for _, a := range b.alerts {
		if a.Status() == model.AlertFiring {
			n.Status = string(model.AlertFiring)
		}
		if len(n.Alerts) == journalAlerts {
			n.MoreAlerts++
			continue
		}
		n.Alerts = append(n.Alerts, NoticeAlert{Name: a.Name(), Labels: subject(promLabels(a.Labels)), Status: string(a.Status())})
	}
	return n
}

// last are copies of the notifications, newest first, and the last heartbeat.
func (j *journal) last() (notices []Notice, heartbeat *Notice) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, n := range slices.Backward(j.notices) {
		notices = append(notices, n.clone())
	}
	if j.heartbeat != nil {
		h := j.heartbeat.clone()
		heartbeat = &h
	}
	return notices, heartbeat
}

func (n *Notice) clone() Notice {
	c := *n
	c.Alerts, c.Deliveries = slices.Clone(n.Alerts), slices.Clone(n.Deliveries)
	return c
}

// fingerprint is equal for equal alerts in equal states.
func fingerprint(alerts []*alert.Alert) string {
	var out []string
	for _, a := range alerts {
		out = append(out, a.Fingerprint().String()+" "+string(a.Status()))
	}
	slices.Sort(out)
	sum := sha256.Sum256([]byte(strings.Join(out, "\n")))
	return string(sum[:])
}

// isHeartbeat says whether a batch is the dead man's switch and nothing else.
func isHeartbeat(b batch) bool {
	return len(b.alerts) > 0 && !slices.ContainsFunc(b.alerts, func(a *alert.Alert) bool { return a.Labels["check"] != watchdogCheck })
}

// identity are the labels that name what an alert is about, without those
// that every alert of its rule has.
func identity(ls labels.Labels) labels.Labels {
	b := labels.NewBuilder(ls)
	ls.Range(func(l labels.Label) {
		if isRuleLabel(l.Name) {
			b.Del(l.Name)
		}
	})
	return b.Labels()
}

// subject is the identity of an alert or, where it has none, its signal.
func subject(ls labels.Labels) labels.Labels {
	if own := identity(ls); !own.IsEmpty() {
		return own
	}
	if signal := ls.Get("signal"); signal != "" {
		return labels.FromStrings("signal", signal)
	}
	return labels.EmptyLabels()
}

// isRuleLabel says whether a label comes from the rule and not from the data.
func isRuleLabel(name string) bool {
	switch name {
	case "alertname", "severity", "category", "signal", "check":
		return true
	}
	return false
}
