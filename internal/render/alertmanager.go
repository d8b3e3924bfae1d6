package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// nobody is the receiver of what is only shown.
const nobody = "none"

// alertmanagerFiles are the configuration and the message texts.
func alertmanagerFiles(b *bundle) ([]File, error) {
	data, err := marshalYAML(amConfig{
		Templates:    []string{"genai.tmpl"},
		Route:        b.routes(),
		InhibitRules: b.inhibitions(),
		Receivers:    b.receivers(),
	})
	if err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	return []File{
		{"deploy/alertmanager/alertmanager.yml", append([]byte(header("#")), data...)},
		{"deploy/alertmanager/genai.tmpl", []byte(b.messages())},
	}, nil
}

// What follows are the fields of Alertmanager's configuration that exist since
// 0.25. Newer ones would stop an older server from starting.
type (
	amConfig struct {
		Templates    []string     `yaml:"templates"`
		Route        amRoute      `yaml:"route"`
		InhibitRules []amInhibit  `yaml:"inhibit_rules,omitempty"`
		Receivers    []amReceiver `yaml:"receivers"`
	}
	amRoute struct {
		Receiver       string    `yaml:"receiver"`
		Matchers       []string  `yaml:"matchers,omitempty"`
		GroupBy        []string  `yaml:"group_by,flow,omitempty"`
		GroupWait      string    `yaml:"group_wait,omitempty"`
		GroupInterval  string    `yaml:"group_interval,omitempty"`
		RepeatInterval string    `yaml:"repeat_interval,omitempty"`
		Routes         []amRoute `yaml:"routes,omitempty"`
	}
	amInhibit struct {
		SourceMatchers []string `yaml:"source_matchers"`
		TargetMatchers []string `yaml:"target_matchers"`
		Equal          []string `yaml:"equal,flow"`
	}
	amReceiver struct {
		Name      string        `yaml:"name"`
		Webhook   []amWebhook   `yaml:"webhook_configs,omitempty"`
		Slack     []amSlack     `yaml:"slack_configs,omitempty"`
		PagerDuty []amPagerDuty `yaml:"pagerduty_configs,omitempty"`
	}
	amWebhook struct {
		SendResolved bool   `yaml:"send_resolved"`
		URL          string `yaml:"url,omitempty"`
		URLFile      string `yaml:"url_file,omitempty"`
	}
	amSlack struct {
		SendResolved bool   `yaml:"send_resolved"`
		APIURLFile   string `yaml:"api_url_file"`
		Channel      string `yaml:"channel"`
		Color        string `yaml:"color"`
		Title        string `yaml:"title"`
		TitleLink    string `yaml:"title_link"`
		Text         string `yaml:"text"`
		Fallback     string `yaml:"fallback"`
	}
	amPagerDuty struct {
		SendResolved   bool              `yaml:"send_resolved"`
		RoutingKeyFile string            `yaml:"routing_key_file"`
		Description    string            `yaml:"description"`
		Severity       string            `yaml:"severity"`
		Class          string            `yaml:"class"`
		Component      string            `yaml:"component"`
		Group          string            `yaml:"group"`
		Details        map[string]string `yaml:"details"`
	}
)

// routes is the tree: special cases first, then severities; what nobody
// expected becomes a ticket. Nothing continues, so an alert has one audience.
func (b *bundle) routes() amRoute {
	page := b.timed(amRoute{Receiver: string(checklist.Page), Matchers: []string{`severity="critical"`}}, "10s", "5m", "1h")
	cost := b.timed(amRoute{
		Receiver: string(checklist.Cost), Matchers: []string{`category="cost"`}, GroupBy: []string{"alertname", "cluster"},
		// A budget with a critical level of its own still pages.
		Routes: []amRoute{page},
	}, "5m", "5m", "24h")
	root := b.timed(amRoute{
		Receiver: string(checklist.Ticket), GroupBy: []string{"alertname", "cluster", "namespace", "model", "node"},
	}, "30s", "5m", "12h")
	root.Routes = []amRoute{
		{
			Receiver: string(checklist.DeadMan), Matchers: []string{`alertname="` + watchdog + `"`},
			GroupWait: "0s", GroupInterval: "1m", RepeatInterval: "5m",
		},
		{Receiver: nobody, Matchers: []string{`severity="info"`}},
		cost,
		page,
		{Receiver: string(checklist.Ticket), Matchers: []string{`severity="warning"`}},
	}
	return root
}

// timed gives a route the checklist's timing, or else its own.
func (b *bundle) timed(r amRoute, wait, interval, repeat string) amRoute {
	pick := func(set checklist.Duration, own string) string {
		if set > 0 {
			return set.String()
		}
		return own
	}
	t := b.c.Routing.Timing
	r.GroupWait, r.GroupInterval, r.RepeatInterval = pick(t.GroupWait, wait), pick(t.GroupInterval, interval), pick(t.RepeatInterval, repeat)
	return r
}

// inhibitions let a critical alert mute the milder ones about the same thing:
// one rule per category and set of identifying labels. A label that both sides
// lack counts as equal to Alertmanager, so each one but cluster must be there.
func (b *bundle) inhibitions() []amInhibit {
	type kind struct{ category, labels string }
	var order []kind
	signals := map[kind][]string{}
	for _, ch := range b.c.Checks() {
		if ch.Fixed != nil {
			continue // it has one level only, nothing milder to mute
		}
		s, _ := b.c.Signal(ch.Signal)
		k := kind{ch.Category, strings.Join(s.Labels, " ")}
		if signals[k] == nil {
			order = append(order, k)
		}
		if !slices.Contains(signals[k], s.ID) {
			signals[k] = append(signals[k], s.ID)
		}
	}
	var out []amInhibit
	for _, k := range order {
		labels := strings.Fields(k.labels)
		same := []string{fmt.Sprintf("category=%q", k.category), fmt.Sprintf("signal=~%q", strings.Join(signals[k], "|"))}
		for _, l := range labels {
			same = append(same, l+`=~".+"`)
		}
		out = append(out, amInhibit{
			SourceMatchers: append([]string{`severity="critical"`}, same...),
			TargetMatchers: append([]string{`severity=~"warning|info"`}, same...),
			Equal:          append(withCluster(labels), "signal"),
		})
	}
	return out
}

// receivers has one per audience, in the order of the tree, and nobody.
func (b *bundle) receivers() []amReceiver {
	out := []amReceiver{{Name: nobody}}
	for _, a := range checklist.Audiences() {
		r := amReceiver{Name: string(a)}
		// The dead man's switch beats; that it stops is the message.
		resolved := a != checklist.DeadMan
		for _, tool := range b.c.Routing.Audiences[a] {
			switch {
			case tool.Webhook != nil:
				w := amWebhook{SendResolved: resolved, URL: tool.Webhook.URL}
				if tool.Webhook.URLFile != "" {
					w.URLFile = b.c.Routing.SecretPath(tool.Webhook.URLFile)
				}
				r.Webhook = append(r.Webhook, w)
			case tool.Slack != nil:
				r.Slack = append(r.Slack, b.slack(*tool.Slack, resolved))
			case tool.PagerDuty != nil:
				r.PagerDuty = append(r.PagerDuty, b.pagerDuty(*tool.PagerDuty, resolved))
			}
		}
		out = append(out, r)
	}
	return out
}

func (b *bundle) slack(s checklist.Slack, resolved bool) amSlack {
	return amSlack{
		SendResolved: resolved,
		APIURLFile:   b.c.Routing.SecretPath(s.APIURLFile),
		Channel:      s.Channel,
		Color:        `{{ template "genai.slack.color" . }}`,
		Title:        `{{ template "genai.slack.title" . }}`,
		TitleLink:    `{{ .CommonAnnotations.runbook_url }}`,
		Text:         `{{ template "genai.slack.text" . }}`,
		Fallback:     `{{ template "genai.slack.title" . }}`,
	}
}

func (b *bundle) pagerDuty(p checklist.PagerDuty, resolved bool) amPagerDuty {
	return amPagerDuty{
		SendResolved:   resolved,
		RoutingKeyFile: b.c.Routing.SecretPath(p.RoutingKeyFile),
		Description:    `{{ template "genai.title" . }}`,
		Severity:       `{{ if eq .CommonLabels.severity "critical" }}critical{{ else }}warning{{ end }}`,
		Class:          `{{ .CommonLabels.check }}`,
		Component:      `{{ .CommonLabels.category }}`,
		Group:          `{{ .CommonLabels.cluster }}`,
		Details:        map[string]string{"text": `{{ template "genai.text" . }}`},
	}
}
