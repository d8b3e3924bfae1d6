package check

import (
	"bytes"
	"errors"
	"net/url"
	"regexp"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// define is a named template in a file.
var define = regexp.MustCompile(`\{\{-?\s*define\s+"([^"]+)"`)

func defined(text []byte) []string {
	var out []string
	for _, m := range define.FindAllSubmatch(text, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// expandMessage runs a text as a notification would: with alerts that fire,
// with resolved ones, and with alerts that have no label in common.
func expandMessage(files [][]byte, text string) error {
	t, err := template.FromGlobs(nil)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := t.Parse(bytes.NewReader(f)); err != nil {
			return err
		}
	}
	t.ExternalURL = &url.URL{Scheme: "http", Host: "localhost:9093"}
	start := time.Unix(0, 0)
	firing := &alert.Alert{Alert: model.Alert{
		Labels:      model.LabelSet{"alertname": "A", "severity": "critical", "category": "gpu", "check": "c", "cluster": "x"},
		Annotations: model.LabelSet{"summary": "s", "description": "d", "action": "a", "runbook_url": "http://localhost/"},
		StartsAt:    start, EndsAt: start.Add(1 << 62),
	}}
	bare := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "B"}, StartsAt: start, EndsAt: start.Add(1 << 62)}}
	resolved := &alert.Alert{Alert: firing.Alert}
	resolved.EndsAt = start.Add(time.Second)
	var problems []error
	for _, alerts := range [][]*alert.Alert{{firing}, {resolved}, {firing, resolved, bare}} {
		data := t.Data("receiver", model.LabelSet{"alertname": "A"}, nil, "", alerts...)
		if _, err := t.ExecuteTextString(text, data); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems[0])
	}
	return nil
}
