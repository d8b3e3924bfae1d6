package checklist

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Audience is who an alert is for. Tools are chosen per audience.
type Audience string

// The audiences.
const (
	// Page wakes somebody: critical alerts.
	Page Audience = "page"
	// Ticket waits for working hours: warnings.
	Ticket Audience = "ticket"
	// Cost goes to whoever pays: category cost.
	Cost Audience = "cost"
	// DeadMan must hear from the Watchdog all the time.
	DeadMan Audience = "dead_man"
)

// Audiences are all of them, in the order of the routing tree.
func Audiences() []Audience { return []Audience{DeadMan, Cost, Page, Ticket} }

// Routing says who is told and how.
type Routing struct {
	// Alertmanager is the oldest version the configuration must load in, "0.25" to "0.34".
	Alertmanager string `yaml:"alertmanager"`
	// SecretsDir is the absolute directory of secret files on the Alertmanager's host.
	SecretsDir string `yaml:"secrets_dir"`
	// Audiences have at least one receiver each.
	Audiences map[Audience][]Receiver `yaml:"audiences"`
	// Timing replaces that of every route but the dead man's where it is set.
	Timing
}

// Timing is how notifications are gathered; zero is not set.
type Timing struct {
	// GroupWait is how long the first notification of a group waits for others.
	GroupWait Duration
	// GroupInterval is how long changes of a group are gathered.
	GroupInterval Duration
	// RepeatInterval is after how long an unchanged group is told again.
	RepeatInterval Duration
}

// Receiver is one tool of an audience; exactly one field is set.
type Receiver struct {
	Webhook   *Webhook   `yaml:"webhook"`
	Slack     *Slack     `yaml:"slack"`
	PagerDuty *PagerDuty `yaml:"pagerduty"`
}

// Webhook posts Alertmanager's JSON. A URL outside loopback is a secret and
// comes from a file.
type Webhook struct {
	URLFile string `yaml:"url_file"`
	// URL is allowed for loopback addresses without credentials only.
	URL string `yaml:"url"`
}

// Slack posts to an incoming webhook whose URL is in a file.
type Slack struct {
	APIURLFile string `yaml:"api_url_file"`
	Channel    string `yaml:"channel"`
}

// PagerDuty sends Events API v2 with the routing key in a file.
type PagerDuty struct {
	RoutingKeyFile string `yaml:"routing_key_file"`
}

// SecretPath is where Alertmanager reads a secret; it does not resolve
// relative names against its configuration, so the path is absolute.
func (r Routing) SecretPath(file string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(r.SecretsDir, file)
}

// Minor is the minor version of the target Alertmanager 0.x.
func (r Routing) Minor() int {
	n, err := strconv.Atoi(strings.TrimPrefix(r.Alertmanager, "0."))
	if err != nil || !strings.HasPrefix(r.Alertmanager, "0.") {
		return -1
	}
	return n
}

// fault is a problem below the key path of a section.
type fault struct {
	path, reason string
}

func (r Routing) faults() []fault {
	var out []fault
	add := func(path, reason string) { out = append(out, fault{path, reason}) }
	if m := r.Minor(); m < 25 || m > 34 {
		add("alertmanager", fmt.Sprintf("%q is not a supported Alertmanager version; write one from \"0.25\" to \"0.34\" in quotes", r.Alertmanager))
	}
	if !path.IsAbs(r.SecretsDir) {
		add("secrets_dir", fmt.Sprintf("%q is not an absolute path; Alertmanager does not resolve relative secret files", r.SecretsDir))
	}
	for a := range r.Audiences {
		if !slices.Contains(Audiences(), a) {
			add("audiences."+string(a), fmt.Sprintf("unknown audience; known: %s, %s, %s, %s", Page, Ticket, Cost, DeadMan))
		}
	}
	for _, a := range Audiences() {
		if len(r.Audiences[a]) == 0 {
			add("audiences."+string(a), "no receiver; whoever this audience is would never hear of it")
		}
		for i, rec := range r.Audiences[a] {
			for _, reason := range r.receiverFaults(rec) {
				add(fmt.Sprintf("audiences.%s[%d]", a, i), reason)
			}
		}
	}
	return out
}

func (r Routing) receiverFaults(rec Receiver) []string {
	var out []string
	set := 0
	if w := rec.Webhook; w != nil {
		set++
		if (w.URL == "") == (w.URLFile == "") {
			out = append(out, "a webhook needs exactly one of url_file and url")
		}
		if w.URL != "" {
			if reason := loopbackFault(w.URL); reason != "" {
				out = append(out, reason)
			}
		}
		if w.URLFile != "" && r.Minor() == 25 {
			out = append(out, "Alertmanager below 0.26 cannot read a webhook URL from a file, and the URL is a secret; use slack or pagerduty, a loopback url, or a newer Alertmanager; every audience that you do not name keeps the default webhook, so name all four")
		}
	}
	if s := rec.Slack; s != nil {
		set++
		if s.APIURLFile == "" || s.Channel == "" {
			out = append(out, "slack needs api_url_file and channel")
		}
	}
	if p := rec.PagerDuty; p != nil {
		set++
		if p.RoutingKeyFile == "" {
			out = append(out, "pagerduty needs routing_key_file")
		}
	}
	if set != 1 {
		out = append(out, "a receiver is exactly one of webhook, slack, pagerduty")
	}
	return out
}

// loopbackFault never repeats the URL: it may be a secret put in the wrong place.
func loopbackFault(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "url is not an http or https URL"
	}
	if u.User != nil || u.RawQuery != "" {
		return "url carries credentials or a query; put it into a file and name that under url_file"
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); (err == nil && addr.IsLoopback()) || host == "localhost" {
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return "url has no port"
		}
		return ""
	}
	return "url is not a loopback address; a webhook URL is a secret: put it into a file and name that under url_file"
}
