package stack

import (
	"bytes"
	"context"
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/genai-exporter/genai-exporter/checklist"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata/stack")

// fixedBoard is one of everything, with labels that want to harm the reader.
func fixedBoard(lang string) *Board {
	at := time.Date(2026, 11, 21, 5, 4, 3, 0, time.UTC)
	text := func(en, ko string) string { return checklist.Text{EN: en, KO: ko}.In(lang) }
	above := func(severity checklist.Severity, v float64) checklist.Level {
		return checklist.Level{Severity: severity, Bad: checklist.Above, Threshold: v}
	}
	hostile := labels.FromStrings("gpu", "0", "node", "<script>alert(1)</script>\x1b[2J\u202egnp")
	temperature := Row{
		Check: "gpu_temperature", Title: text("GPU temperature", "GPU 온도"), Alert: "GPUTemperatureHigh", Unit: checklist.Celsius,
		Levels: []checklist.Level{above(checklist.Warning, 80), above(checklist.Critical, 90)}, State: Breached,
		Series: []Series{
			{Labels: hostile, Value: 93.5, State: Breached, Severity: checklist.Critical, Since: at.Add(-95 * time.Second)},
			{Labels: labels.FromStrings("gpu", "1", "node", "n1"), Value: 84, State: Pending, Severity: checklist.Warning, Since: at.Add(-5 * time.Second)},
			{Labels: labels.FromStrings("gpu", "2", "node", "n1"), Value: 60, State: OK},
		},
		Step: 15 * time.Second,
	}
	for i := range 20 {
		if i != 12 && i != 13 { // a gap
			temperature.Spark = append(temperature.Spark, Point{at.Add(time.Duration(i-20) * 15 * time.Second), 60 + float64(i)*1.7})
		}
	}
	memory := Row{
		Check: "gpu_memory", Title: text("GPU memory used", "GPU 메모리 사용률"), Alert: "GPUMemoryHigh", Unit: checklist.Ratio,
		Levels: []checklist.Level{above(checklist.Warning, .9)}, State: Breached, Step: 15 * time.Second,
		Series: []Series{{Labels: labels.FromStrings("gpu", "0", "node", "n1"), Value: .75, State: Breached, Severity: checklist.Warning, Since: at.Add(-26 * time.Hour), Recovering: true}},
	}
	for i := range 241 {
		memory.Spark = append(memory.Spark, Point{at.Add(time.Duration(i-240) * 15 * time.Second), .9 + math.Sin(float64(i)/20)/10})
	}
	return &Board{
		At: at,
		Sections: []BoardSection{
			{Title: "GPU", Rows: []Row{temperature, memory}},
			{Title: text("Cost", "비용"), Rows: []Row{{
				Check: "daily_cost", Title: text("Cost of the last day", "일일 비용"), Alert: "DailyCostExceeded", Unit: checklist.USD,
				Levels: []checklist.Level{above(checklist.Warning, 1000)}, State: NoData,
			}}},
			{Title: text("Monitoring", "모니터링"), Rows: []Row{{
				Check: "exporter_down", Title: text("Exporter answers", "익스포터 응답 여부"), Alert: "ExporterDown", Unit: checklist.State,
				Levels: []checklist.Level{{Severity: checklist.Critical, Bad: checklist.Below, Threshold: 1}}, State: OK,
				Series: []Series{{Labels: labels.FromStrings("instance", "127.0.0.1:19400", "job", "genai_exporter"), Value: 1, State: OK}},
			}}},
		},
		Alerts: []BoardAlert{
			{
				Name: "GPUTemperatureHigh", Check: "gpu_temperature", Severity: "critical", State: Breached, Labels: hostile, Since: at.Add(-95 * time.Second),
				Summary: text("A GPU is too hot.", "GPU 온도가 너무 높습니다."), Description: "GPU 0 on <b>n1</b>\x07\x9b31m is at 93 °C.",
				Action: text("Check airflow.", "통풍을 확인하십시오."), Runbook: "https://example.com/runbooks/gpu_temperature.md",
			},
			{
				Name: "GPUMemoryHigh", Check: "gpu_memory", Severity: "warning", State: Pending, Labels: labels.FromStrings("gpu", "0", "node", "n1"),
				Since: at.Add(-5 * time.Second), Summary: "s", Description: "d", Runbook: "javascript:alert(1)",
			},
		},
		Notices: []Notice{
			{
				At: at.Add(-10 * time.Second), Receiver: "ticket", Status: "resolved",
				Alerts:     []NoticeAlert{{Name: "GPUMemoryHigh", Labels: labels.FromStrings("gpu", "0", "node", "n1"), Status: "resolved"}},
				Deliveries: []Delivery{{Via: "webhook", Status: waiting}},
			},
			{
				At: at.Add(-70 * time.Second), Receiver: "page", Status: "firing",
				Alerts:     []NoticeAlert{{Name: "GPUTemperatureHigh", Labels: hostile, Status: "firing"}},
				Deliveries: []Delivery{{Via: "webhook", Status: delivered}, {Via: "slack", Status: failed, Detail: "503 \x1b]0;x\x07"}},
			},
		},
		Undelivered: []string{"page"},
		Heartbeat:   &Notice{At: at.Add(-30 * time.Second), Receiver: "dead_man", Status: "firing", Deliveries: []Delivery{{Via: "webhook", Status: delivered}}},
		Targets: []BoardTarget{
			{Job: "genai_exporter", Address: "127.0.0.1:19400", Health: "up", LastScrape: at.Add(-2 * time.Second), Took: 3 * time.Millisecond},
			{Job: "genai_exporter", Address: "gpu-2:19400", Health: "down", LastScrape: at.Add(-time.Second), Err: "dial tcp: connection refused\n<i>"},
			{Job: "genai_exporter", Address: "gpu-3:19400", Health: "unknown"},
		},
	}
}

// fixedBoards serves the same board again and again.
type fixedBoards struct{ b *Board }

func (f fixedBoards) board(context.Context) (*Board, error) { return f.b, nil }

func newTestPage(t *testing.T, lang string) *page {
	t.Helper()
	p, err := newPage(Options{Lang: lang, Location: time.FixedZone("KST", 9*60*60), Logger: promslog.NewNopLogger(), ScrapeInterval: 15 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.boards = fixedBoards{fixedBoard(lang)}
	return p
}

func (p *page) body(t *testing.T, serve http.HandlerFunc) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	serve(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("..", "..", "testdata", "stack", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites it:\n%s", name, diff)
	}
}

func TestBoardInThreeForms(t *testing.T) {
	t.Parallel()
	for _, lang := range checklist.Languages() {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			p := newTestPage(t, lang)
			compare(t, "board."+lang+".txt", p.body(t, p.serveText))
			compare(t, "board."+lang+".json", p.body(t, p.serveJSON))
			// The style sheet has a file of its own.
			html := p.body(t, p.serveRoot)
			compare(t, "board."+lang+".html", bytes.Replace(html, []byte(pageStyle), []byte("/* page.css */"), 1))
		})
	}
}

func TestTextSteersNoTerminal(t *testing.T) {
	t.Parallel()
	p := newTestPage(t, "en")
	for _, r := range string(p.body(t, p.serveText)) {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("control character %U", r)
		}
	}
}

func TestHTMLEscapesLabelsAndDropsOtherLinks(t *testing.T) {
	t.Parallel()
	p := newTestPage(t, "en")
	html := string(p.body(t, p.serveRoot))
	for _, bad := range []string{"<script", "javascript:", "<b>n1", "<i>", "ZgotmplZ", "\x1b", " style=", " onload"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(html, "&lt;script&gt;") {
		t.Error("the label is gone; it should be shown escaped")
	}
}

func TestKoreanColumnsAlign(t *testing.T) {
	t.Parallel()
	p := newTestPage(t, "ko")
	lines := strings.Split(string(p.body(t, p.serveText)), "\n")
	var at []int
	for _, l := range lines {
		for _, value := range []string{"현재 값", "93.5 °C", "75 %"} {
			if before, _, ok := strings.Cut(l, value); ok {
				at = append(at, columns(before))
			}
		}
	}
	if len(at) != 3 || at[0] != at[1] || at[1] != at[2] {
		t.Errorf("the values begin in columns %v, want one column:\n%s", at, strings.Join(lines, "\n"))
	}
}

func TestRefreshCanBeStopped(t *testing.T) {
	t.Parallel()
	p := newTestPage(t, "en")
	for target, want := range map[string]bool{"/": true, "/?refresh=0": false} {
		w := httptest.NewRecorder()
		p.serveRoot(w, httptest.NewRequest(http.MethodGet, target, nil))
		if got := strings.Contains(w.Body.String(), `http-equiv="refresh" content="15"`); got != want {
			t.Errorf("%s: refreshes %v, want %v", target, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "n1", "한국어", "\x1b[31m", "a\u202eb", "\xff\xfe", "a\r\nb", "e\u0301", "\u2066x\u2069", "\x9b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || clean(got) != got {
			t.Errorf("clean(%q) = %q", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' {
				t.Errorf("clean(%q) holds %U", s, r)
			}
		}
		if n := columns(got); n < 0 || n > 2*utf8.RuneCountInString(got) {
			t.Errorf("columns(%q) = %d", got, n)
		}
	})
}

func TestWebLinkTakesWebAddressesOnly(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://example.com/a?b=c":            "https://example.com/a?b=c",
		"http://example.com":                   "http://example.com",
		"javascript:alert(1)":                  "",
		"JavaScript://example.com/%0aalert(1)": "",
		"data:text/html,x":                     "",
		"//example.com":                        "",
		"/relative":                            "",
		"":                                     "",
		"http://%zz":                           "",
	} {
		if got := webLink(raw); got != want {
			t.Errorf("webLink(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestColumnsOfWideAndCombiningLetters(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"": 0, "abc": 3, "온도": 4, "GPU 온도": 8, "Ａ": 2, "e\u0301": 1, "≤ 80 °C": 7, "日本": 4} {
		if got := columns(s); got != want {
			t.Errorf("columns(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, lang := range checklist.Languages() {
		p := newTestPage(t, lang)
		for width, whole := range map[string]bool{"80": false, "100": false, "": true, "0": true} {
			w := httptest.NewRecorder()
			p.serveText(w, httptest.NewRequest(http.MethodGet, "/checklist.txt?columns="+width, nil))
			table, _, _ := strings.Cut(w.Body.String(), "\n"+p.viewer.words.Alerts+"\n")
			widest := 0
			for _, line := range strings.Split(table, "\n") {
				widest = max(widest, columns(line))
			}
			if limit, err := strconv.Atoi(width); err == nil && limit > 0 && widest > limit {
				t.Errorf("%s, %s columns: the table takes %d:\n%s", lang, width, widest, table)
			}
			if got := strings.Contains(table, "instance=127.0.0.1:19400"); got != whole {
				t.Errorf("%s, %s columns: whole %v, want %v:\n%s", lang, width, got, whole, table)
			}
			for _, value := range []string{"93.5 °C", "1m35s", p.viewer.words.Breached} {
				if !strings.Contains(table, value) {
					t.Errorf("%s, %s columns: %q is gone:\n%s", lang, width, value, table)
				}
			}
		}
	}
	p := newTestPage(t, "en")
	w := httptest.NewRecorder()
	if p.serveText(w, httptest.NewRequest(http.MethodGet, "/checklist.txt?columns=wide", nil)); w.Code != http.StatusBadRequest {
		t.Errorf("got %d", w.Code)
	}
}

func TestCutCountsColumns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "a…d"}, {"GPU above the lower end", 12, "GPU ab…r end"}, {"GPU below the upper end", 12, "GPU be…r end"},
		{"온도 높음", 9, "온도 높음"}, {"온도 높음", 8, "온도…음"}, {"온도", 3, "…도"}, {"abcd", 1, "…"},
	} {
		if got := cut(tc.s, tc.n); got != tc.want || columns(got) > tc.n {
			t.Errorf("cut(%q, %d) = %q, want %q", tc.s, tc.n, got, tc.want)
		}
	}
}
