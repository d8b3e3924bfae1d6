package check

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// TestMessagesTellWhatToDoAndEscapeForChat expands the rendered templates with
// Alertmanager's own code; the label value tries to call a whole channel.
func TestMessagesTellWhatToDoAndEscapeForChat(t *testing.T) {
	t.Parallel()
	labels := model.LabelSet{"alertname": "InferenceErrorRateHigh", "severity": "warning", "cluster": "<!here>"}
	annotations := model.LabelSet{
		"summary": "Inference requests fail.", "description": "2% of the requests to <!channel> & co fail.", "action": "Roll back.", "runbook_url": "http://localhost/r",
	}
	start := time.Unix(0, 0)
	firing := &alert.Alert{Alert: model.Alert{Labels: labels, Annotations: annotations, StartsAt: start, EndsAt: start.Add(1 << 62)}}
	resolved := &alert.Alert{Alert: firing.Alert}
	resolved.EndsAt = start.Add(time.Second)
	for _, tc := range []struct {
		name, lang, template string
		alert                *alert.Alert
		want                 string
	}{
		{"title", "en", "genai.title", firing, "[FIRING 1] InferenceErrorRateHigh (<!here>): Inference requests fail."},
		{"title_ko", "ko", "genai.title", firing, "[발생 1] InferenceErrorRateHigh (<!here>): Inference requests fail."},
		{"title_resolved", "en", "genai.title", resolved, "[RESOLVED] InferenceErrorRateHigh (<!here>): Inference requests fail."},
		{"text", "en", "genai.text", firing, "[warning] 2% of the requests to <!channel> & co fail.\nWhat to do: Roll back.\nRunbook: http://localhost/r\n"},
		{"text_resolved", "en", "genai.text", resolved, "[RESOLVED] 2% of the requests to <!channel> & co fail.\n"},
		{"slack_title", "en", "genai.slack.title", firing, "[FIRING 1] InferenceErrorRateHigh (&lt;!here&gt;): Inference requests fail."},
		{"slack_text", "ko", "genai.slack.text", firing, "*[warning]* 2% of the requests to &lt;!channel&gt; &amp; co fail.\n조치: Roll back.\n런북: http://localhost/r\n"},
		{"slack_resolved", "ko", "genai.slack.text", resolved, "*[해소]* 2% of the requests to &lt;!channel&gt; &amp; co fail.\n"},
		{"slack_colour", "en", "genai.slack.color", firing, "warning"},
		{"slack_colour_resolved", "en", "genai.slack.color", resolved, "good"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tmpl, err := template.FromGlobs(nil)
			if err != nil {
				t.Fatal(err)
			}
			tmpl.ExternalURL = &url.URL{}
			if err := tmpl.Parse(bytes.NewReader(rendered(t, load(t, ""), tc.lang)["deploy/alertmanager/genai.tmpl"].Data)); err != nil {
				t.Fatal(err)
			}
			data := tmpl.Data("r", model.LabelSet{"alertname": "InferenceErrorRateHigh"}, nil, "", tc.alert)
			got, err := tmpl.ExecuteTextString(`{{ template "`+tc.template+`" . }}`, data)
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimRight(got, "\n") != strings.TrimRight(tc.want, "\n") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
