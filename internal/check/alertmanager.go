package check

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// routingFile is the configuration of Alertmanager.
const routingFile = "deploy/alertmanager/alertmanager.yml"

// alertmanager loads the routing with Alertmanager's own code and checks it
// against the alerts that the rules can fire.
func (k *checker) alertmanager() {
	data, ok := k.have[routingFile]
	if !ok {
		return // freshness has said so
	}
	k.oldSyntaxAndSecrets(data)
	cfg, err := config.Load(string(data))
	if err != nil {
		f := k.ruleError(routingFile, err, 0)
		f.Advice = "Alertmanager would refuse the file; render it again"
		k.add(f)
		return
	}
	k.messages(cfg, data)
	k.deliveries(cfg)
	for i := range cfg.InhibitRules {
		k.inhibition(cfg, i)
	}
}

// secretKeys hold credentials in Alertmanager's configuration; each has a
// twin that ends in _file.
func secretKeys() []string {
	return []string{
		"api_key", "api_secret", "api_url", "app_token", "auth_password", "auth_secret", "bearer_token", "bot_token", "client_secret", "credentials",
		"opsgenie_api_key", "password", "routing_key", "service_key", "slack_api_url", "slack_app_token", "smtp_auth_password", "smtp_auth_secret",
		"token", "url", "user_key", "victorops_api_key", "webhook_url", "wechat_api_secret",
	}
}

// oldMatchers are the keys that `matchers` replaced.
func oldMatchers() []string {
	return []string{"match", "match_re", "source_match", "source_match_re", "target_match", "target_match_re"}
}

func (k *checker) oldSyntaxAndSecrets(data []byte) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return // config.Load says so
	}
	walkKeys(&root, func(key, value *yaml.Node) {
		switch {
		case slices.Contains(oldMatchers(), key.Value):
			k.add(Finding{
				File: routingFile, Line: key.Line, Subject: key.Value,
				Reason: "is the old syntax, which Alertmanager means to remove", Advice: "use matchers",
			})
		case slices.Contains(secretKeys(), key.Value) && value.Kind == yaml.ScalarNode && value.Value != "" && !loopback(value.Value):
			k.add(Finding{
				File: routingFile, Line: key.Line, Subject: key.Value,
				Reason: "holds a credential in the file itself", Advice: "put it into a file of its own and name that under " + key.Value + "_file",
			})
		}
	})
}

func walkKeys(n *yaml.Node, visit func(key, value *yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(n.Content[i], n.Content[i+1])
		}
	}
	for _, c := range n.Content {
		walkKeys(c, visit)
	}
}

// loopback tells a URL that is no secret: this machine, without credentials.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// deliveries routes every alert of the bundle: only `info` may end at a
// receiver that tells nobody.
func (k *checker) deliveries(cfg *config.Config) {
	silent := map[string]bool{}
	for _, r := range cfg.Receivers {
		silent[r.Name] = integrations(r) == 0
	}
	tree := dispatch.NewRoute(cfg.Route, nil)
	for _, r := range k.plain.rules {
		if r.Alert == "" || r.Labels["severity"] == string(checklist.Info) {
			continue
		}
		for _, route := range tree.Match(k.example(r)) {
			if silent[route.RouteOpts.Receiver] {
				k.add(Finding{
					File: routingFile, Subject: r.Alert,
					Reason: fmt.Sprintf("is routed to receiver %s, which tells nobody", route.RouteOpts.Receiver),
					Advice: "give the receiver a tool, or route the alert elsewhere",
				})
			}
		}
	}
}

func integrations(r config.Receiver) int {
	return len(r.WebhookConfigs) + len(r.SlackConfigs) + len(r.PagerdutyConfigs) + len(r.EmailConfigs) + len(r.OpsGenieConfigs) +
		len(r.MSTeamsV2Configs) + len(r.TelegramConfigs) + len(r.DiscordConfigs) + len(r.VictorOpsConfigs) + len(r.PushoverConfigs) +
		len(r.WebexConfigs) + len(r.SNSConfigs) + len(r.WechatConfigs)
}

// example is an alert as it would arrive: every label it carries has a value.
func (k *checker) example(r rule) model.LabelSet {
	out := model.LabelSet{}
	for name := range k.plain.inferRule(r, false).names {
		out[model.LabelName(name)] = "x"
	}
	for name, value := range r.Labels {
		out[model.LabelName(name)] = model.LabelValue(value)
	}
	out["alertname"] = model.LabelValue(r.Alert)
	return out
}

// inhibition looks at each alert that a rule can concern, whatever its
// severity: severities are the user's to set.
func (k *checker) inhibition(cfg *config.Config, i int) {
	rule := cfg.InhibitRules[i]
	subject := fmt.Sprintf("inhibit_rules[%d]", i)
	note := func(reason, advice string) {
		k.add(Finding{File: routingFile, Subject: subject, Reason: reason, Advice: advice})
	}
	equal := slices.Clone(rule.Equal)
	for _, label := range equal {
		if label == "cluster" || label == "signal" {
			continue // one may be everywhere without, the other is on every alert
		}
		if !demands(rule.SourceMatchers, label) || !demands(rule.TargetMatchers, label) {
			note(fmt.Sprintf("equal has label %s, which may be missing on both sides: that counts as equal, and one alert mutes all", label),
				fmt.Sprintf("add the matcher %s=~\".+\" to both sides", label))
		}
	}
	for _, side := range []struct {
		name     string
		matchers []*amlabels.Matcher
	}{{"source_matchers", rule.SourceMatchers}, {"target_matchers", rule.TargetMatchers}} {
		concerned := false
		for _, r := range k.plain.rules {
			if r.Alert != "" && k.concerns(side.matchers, r) {
				concerned = true
				k.carriesEqual(side.matchers, equal, r, note)
			}
		}
		if !concerned {
			note(side.name+" take no alert of the bundle", "take the rule out or mend its matchers")
		}
	}
}

// concerns tells whether the matchers on constant labels, severity apart, take
// the alert.
func (k *checker) concerns(side amlabels.Matchers, r rule) bool {
	for _, m := range side {
		value, constant := r.Labels[m.Name]
		if m.Name == "alertname" {
			value, constant = r.Alert, true
		}
		if constant && m.Name != "severity" && !m.Matches(value) {
			return false
		}
	}
	return true
}

func (k *checker) carriesEqual(side amlabels.Matchers, equal []string, r rule, note func(reason, advice string)) {
	needed := slices.Clone(equal)
	for _, m := range side {
		if !slices.Contains(needed, m.Name) {
			needed = append(needed, m.Name)
		}
	}
	labels := k.plain.inferRule(r, false)
	for _, label := range needed {
		if !labels.has(label) {
			note(fmt.Sprintf("needs label %s, which alert %s does not carry", label, r.Alert), "it carries: "+orNone(labels))
		}
	}
}

// demands tells whether a matcher asks for a value of the label.
func demands(side []*amlabels.Matcher, label string) bool {
	return slices.ContainsFunc(side, func(m *amlabels.Matcher) bool { return m.Name == label && !m.Matches("") })
}

// messages runs the texts of all receivers.
func (k *checker) messages(cfg *config.Config, data []byte) {
	var texts [][]byte
	for _, name := range cfg.Templates {
		full := path.Join(path.Dir(routingFile), name)
		text, ok := k.have[full]
		if !ok {
			k.add(Finding{File: routingFile, Subject: "templates", Reason: full + " is not there", Advice: "render it again"})
			continue
		}
		texts = append(texts, text)
		k.messageFile(full, text)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return // config.Load has taken it
	}
	walkKeys(&root, func(key, value *yaml.Node) {
		if value.Kind != yaml.ScalarNode || !strings.Contains(value.Value, "{{") {
			return
		}
		if err := expandMessage(texts, value.Value); err != nil {
			k.add(Finding{File: routingFile, Line: value.Line, Subject: key.Value, Reason: "cannot be expanded: " + err.Error(), Advice: "mend the template"})
		}
	})
}

// messageFile parses one file of templates and runs each template in it that
// takes a notification.
func (k *checker) messageFile(name string, text []byte) {
	if err := expandMessage([][]byte{text}, "parsed"); err != nil {
		k.add(Finding{File: name, Reason: err.Error(), Advice: "Alertmanager would refuse the file; render it again"})
		return
	}
	for _, define := range defined(text) {
		if strings.HasSuffix(define, ".escape") {
			continue // it takes a text
		}
		if err := expandMessage([][]byte{text}, fmt.Sprintf("{{ template %q . }}", define)); err != nil {
			k.add(Finding{File: name, Line: lineOf(text, define), Subject: define, Reason: "cannot be expanded: " + err.Error(), Advice: "mend the template"})
		}
	}
}

func lineOf(text []byte, needle string) int {
	i := bytes.Index(text, []byte(`"`+needle+`"`))
	return bytes.Count(text[:max(i, 0)], []byte("\n")) + 1
}
