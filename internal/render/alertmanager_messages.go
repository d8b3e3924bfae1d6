package render

import (
	"strings"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// messageTemplate is Alertmanager's template language with the words of one
// language for <words>. Label values come from outside: in Slack an unescaped
// <!channel> would call everybody.
const messageTemplate = `{{ define "genai.title" -}}
[{{ if eq .Status "firing" }}<firing> {{ len .Alerts.Firing }}{{ else }}<resolved>{{ end }}] {{ .CommonLabels.alertname }}
{{- with .CommonLabels.cluster }} ({{ . }}){{ end }}
{{- with .CommonAnnotations.summary }}: {{ . }}{{ end }}
{{- end }}

{{ define "genai.text" -}}
{{ range .Alerts.Firing -}}
[{{ .Labels.severity }}] {{ .Annotations.description }}
{{ with .Annotations.action }}<action>: {{ . }}
{{ end }}{{ with .Annotations.runbook_url }}<runbook>: {{ . }}
{{ end }}{{ end }}
{{- range .Alerts.Resolved -}}
[<resolved>] {{ .Annotations.description }}
{{ end }}
{{- end }}

{{ define "genai.slack.escape" -}}
{{ reReplaceAll ">" "&gt;" (reReplaceAll "<" "&lt;" (reReplaceAll "&" "&amp;" .)) }}
{{- end }}

{{ define "genai.slack.title" -}}
[{{ if eq .Status "firing" }}<firing> {{ len .Alerts.Firing }}{{ else }}<resolved>{{ end }}] {{ template "genai.slack.escape" .CommonLabels.alertname }}
{{- with .CommonLabels.cluster }} ({{ template "genai.slack.escape" . }}){{ end }}
{{- with .CommonAnnotations.summary }}: {{ template "genai.slack.escape" . }}{{ end }}
{{- end }}

{{ define "genai.slack.text" -}}
{{ range .Alerts.Firing -}}
*[{{ template "genai.slack.escape" .Labels.severity }}]* {{ template "genai.slack.escape" .Annotations.description }}
{{ with .Annotations.action }}<action>: {{ template "genai.slack.escape" . }}
{{ end }}{{ with .Annotations.runbook_url }}<runbook>: {{ template "genai.slack.escape" . }}
{{ end }}{{ end }}
{{- range .Alerts.Resolved -}}
*[<resolved>]* {{ template "genai.slack.escape" .Annotations.description }}
{{ end }}
{{- end }}

{{ define "genai.slack.color" -}}
{{ if ne .Status "firing" }}good{{ else if eq .CommonLabels.severity "critical" }}danger{{ else }}warning{{ end }}
{{- end }}
`

// messages are the texts of notifications for receivers that take texts; a
// webhook gets Alertmanager's JSON.
func (b *bundle) messages() string {
	words := func(placeholder string, t checklist.Text) []string {
		return []string{"<" + placeholder + ">", t.In(b.lang)}
	}
	var pairs []string
	pairs = append(pairs, words("firing", checklist.Text{EN: "FIRING", KO: "발생"})...)
	pairs = append(pairs, words("resolved", checklist.Text{EN: "RESOLVED", KO: "해소"})...)
	pairs = append(pairs, words("action", checklist.Text{EN: "What to do", KO: "조치"})...)
	pairs = append(pairs, words("runbook", checklist.Text{EN: "Runbook", KO: "런북"})...)
	return "{{/* " + generated + " */}}\n" + strings.NewReplacer(pairs...).Replace(messageTemplate)
}
