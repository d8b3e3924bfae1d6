package render

import (
	"bytes"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/checklist"
)

func TestAllGivesTheSameBytesEveryTime(t *testing.T) {
	t.Parallel()
	for _, lang := range checklist.Languages() {
		first := rendered(t, defaultChecklist(t), Options{Lang: lang})
		for range 5 {
			if d := cmp.Diff(first, rendered(t, defaultChecklist(t), Options{Lang: lang})); d != "" {
				t.Errorf("%s: another run gives other bytes:\n%s", lang, d)
			}
		}
	}
}

func TestEveryFileBearsTheMarkAndEndsInANewline(t *testing.T) {
	t.Parallel()
	for name, data := range rendered(t, defaultChecklist(t), Options{}) {
		if !slices.Contains(Folders(), path.Dir(name)) {
			t.Errorf("%s lies in none of Folders", name)
		}
		if !Rendered([]byte(data)) {
			t.Errorf("%s does not say that it was rendered", name)
		}
		if !strings.HasSuffix(data, "\n") || strings.HasSuffix(data, "\n\n") {
			t.Errorf("%s does not end in one newline", name)
		}
		if strings.Contains(data, "\t") || strings.Contains(data, " \n") {
			t.Errorf("%s has tabs or trailing blanks", name)
		}
	}
	if Rendered([]byte("groups: []\n")) {
		t.Error("a file without the mark counts as rendered")
	}
}

func TestAllRefusesAnUnknownLanguage(t *testing.T) {
	t.Parallel()
	_, err := All(defaultChecklist(t), Options{Lang: "fr"})
	if err == nil || err.Error() != `language "fr": want one of en, ko` {
		t.Errorf("got %v", err)
	}
}

// TestKoreanLeavesNoEnglishText compares the two renderings text by text.
func TestKoreanLeavesNoEnglishText(t *testing.T) {
	t.Parallel()
	en, ko := rendered(t, defaultChecklist(t), Options{Lang: "en"}), rendered(t, defaultChecklist(t), Options{Lang: "ko"})
	compared := 0
	for name := range en {
		if dir := path.Dir(name); dir != "rules" && dir != "dashboards" {
			continue
		}
		var a, b any
		for _, x := range []struct {
			data string
			into *any
		}{{en[name], &a}, {ko[name], &b}} {
			if err := yaml.Unmarshal([]byte(x.data), x.into); err != nil {
				t.Fatal(err)
			}
		}
		walkTexts(a, b, "", func(key, english, korean string) {
			switch key {
			case "summary", "description", "action", "title", "noValue", "label":
			default:
				if english != korean && key != "runbook_url" && key != "name" {
					t.Errorf("%s: %s differs by language: %q, %q", name, key, english, korean)
				}
				return
			}
			compared++
			hangul := strings.ContainsFunc(korean, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
			// What has no words is the same in both: GPU.
			if !hangul && korean != "GPU" {
				t.Errorf("%s: %s is not Korean: %q", name, key, korean)
			}
			if hangul && english == korean {
				t.Errorf("%s: %s is Korean in English: %q", name, key, korean)
			}
		})
	}
	if compared < 80 {
		t.Errorf("only %d texts compared", compared)
	}
	for _, english := range []string{"FIRING", "RESOLVED", "What to do", "Runbook"} {
		if strings.Contains(ko["deploy/alertmanager/genai.tmpl"], english) {
			t.Errorf("messages still say %s", english)
		}
	}
}

func walkTexts(a, b any, key string, visit func(key, a, b string)) {
	switch a := a.(type) {
	case map[string]any:
		other, _ := b.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(a)) {
			walkTexts(a[k], other[k], k, visit)
		}
	case []any:
		other, _ := b.([]any)
		for i := range a {
			if i < len(other) {
				walkTexts(a[i], other[i], key, visit)
			}
		}
	case string:
		if other, ok := b.(string); ok {
			visit(key, a, other)
		}
	}
}

func TestSecretsAreFilesByAbsolutePath(t *testing.T) {
	t.Parallel()
	c := load(t, `routing:
  secrets_dir: /run/secrets
  audiences:
    page: [{pagerduty: {routing_key_file: key}}, {slack: {api_url_file: /etc/slack, channel: "#a"}}, {webhook: {url_file: sub/url}}]
`)
	got := rendered(t, c, Options{})["deploy/alertmanager/alertmanager.yml"]
	for _, want := range []string{"routing_key_file: /run/secrets/key\n", "api_url_file: /etc/slack\n", "url_file: /run/secrets/sub/url\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// drawn are the thresholds of the panel with a title.
func drawn(t *testing.T, c *checklist.Checklist, title string) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Title       string
			FieldConfig struct {
				Defaults struct {
					Thresholds struct {
						Steps []struct {
							Color string
							Value *json.Number
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(rendered(t, c, Options{})["dashboards/overview.json"]), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if p.Title != title {
			continue
		}
		var out []string
		for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
			from := "-"
			if s.Value != nil {
				from = s.Value.String()
			}
			out = append(out, from+" "+s.Color)
		}
		return out
	}
	t.Fatalf("no panel %q", title)
	return nil
}

// TestPanelsDrawTheThresholdsOfTheirAlerts: steps ascend, the first without a
// bound; where low values are bad the worst colour comes first.
func TestPanelsDrawTheThresholdsOfTheirAlerts(t *testing.T) {
	t.Parallel()
	c := load(t, "checks: {gpu_memory: {info: 70%, warning: 85%, critical: 95%}, gpu_idle: {info: 30%, critical: 5%}}")
	for title, want := range map[string][]string{
		"GPU memory used": {"- green", "0.7 blue", "0.85 orange", "0.95 red"},
		"GPU not idle":    {"- red", "0.05 orange", "0.2 blue", "0.3 green"},
		"GPU temperature": {"- green", "80 orange"},
	} {
		if d := cmp.Diff(want, drawn(t, c, title)); d != "" {
			t.Errorf("%s (-want +got):\n%s", title, d)
		}
	}
}

func TestBoardHasAPanelPerCheckAndIDsInOrder(t *testing.T) {
	t.Parallel()
	c := defaultChecklist(t)
	type panel struct {
		ID                       int
		Type, Title, Description string
		Targets                  []struct{ Expr string }
	}
	var board struct {
		UID           string
		SchemaVersion int
		Tags          []string
		Panels        []panel
		Templating    struct{ List []struct{ Name string } }
	}
	data := []byte(rendered(t, c, Options{})["dashboards/overview.json"])
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID != "genai-overview" || board.SchemaVersion != 39 || !slices.Equal(board.Tags, []string{"genai"}) {
		t.Errorf("uid %s, schema %d, tags %v", board.UID, board.SchemaVersion, board.Tags)
	}
	var vars []string
	for _, v := range board.Templating.List {
		vars = append(vars, v.Name)
	}
	if d := cmp.Diff([]string{"datasource", "cluster", "node", "model"}, vars); d != "" {
		t.Errorf("variables (-want +got):\n%s", d)
	}
	for i, p := range board.Panels {
		if p.ID != i+1 {
			t.Errorf("panel %q has id %d, want %d", p.Title, p.ID, i+1)
		}
		if p.Type != "row" && (p.Description == "" || p.Title == "") {
			t.Errorf("panel %d has no title or description", p.ID)
		}
	}
	for _, ch := range c.Checks() {
		if !slices.ContainsFunc(board.Panels, func(p panel) bool {
			return p.Title == ch.Title.EN && strings.HasPrefix(p.Targets[0].Expr, c.RecordOf(ch)+"{")
		}) {
			t.Errorf("%s has no panel", ch.ID)
		}
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			// An alert about what is absent everywhere has no cluster, and is seen whichever is chosen.
			if strings.Contains(target.Expr, "ALERTS{alertstate") && !strings.Contains(target.Expr, `cluster=~"$cluster|"`) {
				t.Errorf("panel %q reads %s", p.Title, target.Expr)
			}
		}
	}
	if bytes.Contains(data, []byte("9000000000")) {
		t.Error("a threshold was not filled in")
	}
}

func TestRuleObjectsCarryTheLabelsOfTheChecklist(t *testing.T) {
	t.Parallel()
	got := rendered(t, load(t, "rule_labels: {release: mine, team: ml}"), Options{})["deploy/prometheusrule/gpu.yaml"]
	var object struct {
		Metadata struct{ Labels map[string]string }
	}
	if err := yaml.Unmarshal([]byte(got), &object); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"app.kubernetes.io/part-of": "genai", "release": "mine", "team": "ml"}
	if d := cmp.Diff(want, object.Metadata.Labels); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
}

// A signal that no check reads any more is not missed: an alert about it would
// name nothing that is unwatched.
func TestAbsenceIsToldOnlyWhereACheckWaits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want bool
	}{
		{"checks:\n  gpu_memory: {warning: 80%}\n", true},
		{"checks:\n  gpu_memory: {enabled: false}\n", false},
	} {
		c, err := checklist.Load("user.yaml", []byte(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		files, err := All(c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path != "rules/gpu.yml" && f.Path != "testdata/rules/gpu.yml" {
				continue
			}
			if got := strings.Contains(string(f.Data), "absent(genai:gpu_memory_used:ratio)") || strings.Contains(string(f.Data), `signal="gpu_memory"`); got != tc.want {
				t.Errorf("%s of %q: absence of gpu_memory is told: got %v, want %v", f.Path, tc.text, got, tc.want)
			}
			if strings.Contains(string(f.Data), "Not watched now: .") {
				t.Errorf("%s of %q names nothing that is not watched", f.Path, tc.text)
			}
		}
	}
}
