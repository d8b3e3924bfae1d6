package stack

import (
	"errors"
	"log/slog"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/pagerduty"
	"github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
)

// integrations are what a receiver sends with: the kinds that a checklist can
// name, as Alertmanager itself sends them. They read secret files when they send.
func integrations(rcv config.Receiver, tmpl *template.Template, logger *slog.Logger) ([]notify.Integration, error) {
	var out []notify.Integration
	var problems []error
	add := func(kind string, i int, rs notify.ResolvedSender, n notify.Notifier, err error) {
		problems = append(problems, err)
		out = append(out, notify.NewIntegration(n, rs, kind, i, rcv.Name))
	}
	for i, c := range rcv.WebhookConfigs {
		n, err := webhook.New(c, tmpl, logger)
		add("webhook", i, c, n, err)
	}
	for i, c := range rcv.SlackConfigs {
		n, err := slack.New(c, tmpl, logger)
		add("slack", i, c, n, err)
	}
	for i, c := range rcv.PagerdutyConfigs {
		n, err := pagerduty.New(c, tmpl, logger)
		add("pagerduty", i, c, n, err)
	}
	return out, errors.Join(problems...)
}
