package render

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// The colours of thresholds.
const (
	green = "green"
	red   = "red"
)

func colour(s checklist.Severity) string {
	switch s {
	case checklist.Info:
		return "blue"
	case checklist.Warning:
		return "orange"
	}
	return red
}

// row opens a row.
func (o *board) row(title string) {
	o.id++
	o.builder.WithRow(dashboard.NewRowBuilder(title).Id(o.id))
}

// firing is what is wrong now. Zero is shown only where rules are evaluated.
func (o *board) firing() {
	o.row(checklist.Text{EN: "Now", KO: "현재"}.In(o.lang))
	o.id++
	o.builder.WithPanel(stat.NewPanelBuilder().Id(o.id).
		Title(checklist.Text{EN: "Alerts firing", KO: "발생 중인 경보"}.In(o.lang)).
		Description(checklist.Text{
			EN: "Good: 0. Without a value the rules are not evaluated, whatever the other panels show.",
			KO: "정상: 0. 값이 없으면 규칙이 평가되지 않는 상태이다.",
		}.In(o.lang)).
		Datasource(datasource()).Height(8).Span(4).Unit("none").
		Thresholds(thresholds([]dashboard.Threshold{step(nil, green), step(cog.ToPtr(1.0), red)})).
		ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeNone).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		NoValue(checklist.Text{EN: "rules are not evaluated", KO: "규칙이 평가되지 않음"}.In(o.lang)).
		WithTarget(query("count("+o.alerts(`severity!="none"`)+`) or 0 * count(ALERTS{alertname="`+watchdog+`", alertstate="firing"})`, "").Instant()))
	o.id++
	hidden := map[string]any{"Time": true, "Value": true, "__name__": true, "alertstate": true}
	o.builder.WithPanel(table.NewPanelBuilder().Id(o.id).
		Title(checklist.Text{EN: "What fires", KO: "경보 목록"}.In(o.lang)).
		Description(checklist.Text{
			EN: "Good: empty, while the number beside it says 0.",
			KO: "정상: 옆의 숫자가 0이고 목록이 비어 있는 상태.",
		}.In(o.lang)).
		Datasource(datasource()).Height(8).Span(20).
		NoValue(checklist.Text{EN: "nothing fires", KO: "발생한 경보 없음"}.In(o.lang)).
		WithTarget(query(o.alerts(`severity!="none"`), "").Instant().Format(prometheus.PromQueryFormatTable)).
		Footer(common.NewTableFooterOptionsBuilder().Reducer([]string{})).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{"excludeByName": hidden}}))
}

// section is a row with a panel per check.
func (o *board) section(s checklist.Section) {
	if len(s.Checks) == 0 {
		return
	}
	o.row(s.Title.In(o.lang))
	for _, ch := range s.Checks {
		o.check(ch)
	}
	if g, ok := o.c.Signal("unpriced_tokens"); ok && s.ID == "cost" {
		o.unpriced(g)
	}
}

// check draws a check's signal with its thresholds.
func (o *board) check(ch checklist.Check) {
	g, _ := o.c.Signal(ch.Signal)
	line := checklist.Text{
		EN: "Good: not above the line, which is the alert's threshold.",
		KO: "정상: 경보 기준선을 넘지 않는 상태.",
	}
	if ch.Bad == checklist.Below {
		line = checklist.Text{
			EN: "Good: not below the line, which is the alert's threshold.",
			KO: "정상: 경보 기준선 아래로 내려가지 않는 상태.",
		}
	}
	p := o.series(g, ch.Title.In(o.lang), line.In(o.lang)).
		Thresholds(thresholds(o.steps(ch))).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeLine))
	if g.Unit == checklist.Ratio || g.Unit == checklist.State {
		p.Max(1)
	}
	o.builder.WithPanel(p)
}

func (o *board) unpriced(g checklist.Signal) {
	o.builder.WithPanel(o.series(g, checklist.Text{EN: "Tokens without a price", KO: "단가 없는 토큰"}.In(o.lang),
		checklist.Text{EN: "Good: 0; give every model that shows up here a price.", KO: "정상: 0. 여기에 보이는 모델의 단가를 등록한다."}.In(o.lang)))
}

// series is a time series of a recorded signal.
func (o *board) series(g checklist.Signal, title, whatIsGood string) *timeseries.PanelBuilder {
	o.id++
	var legend []string
	for _, l := range g.Labels {
		legend = append(legend, l+" {{"+l+"}}")
	}
	labels := withCluster(g.Labels)
	p := timeseries.NewPanelBuilder().Id(o.id).Title(title).Description(g.Help.In(o.lang) + " " + whatIsGood).
		Datasource(datasource()).Height(8).Span(8).Unit(grafanaUnit(g.Unit)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassic)).
		LineWidth(1).FillOpacity(0).ShowPoints(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		NoValue(checklist.Text{EN: "no data: not measured, or no traffic", KO: "데이터 없음: 측정되지 않았거나 요청이 없음"}.In(o.lang)).
		WithTarget(query(o.filtered(g.Record, labels), strings.Join(legend, " ")).Range())
	if g.Unit != checklist.USD {
		p.Min(0) // a difference of money may be negative
	}
	return p
}

// steps ascend and the first has no bound, as Grafana wants. Where low values
// are bad the worst colour comes first and green last.
func (o *board) steps(ch checklist.Check) []dashboard.Threshold {
	// Levels are mildest first: ascending where above is bad.
	var out []dashboard.Threshold
	if ch.Bad == checklist.Below {
		for i := len(ch.Levels) - 1; i >= 0; i-- {
			var from *float64
			if i < len(ch.Levels)-1 {
				from = o.hole(ch, ch.Levels[i+1])
			}
			out = append(out, step(from, colour(ch.Levels[i].Severity)))
		}
		return append(out, step(o.hole(ch, ch.Levels[0]), green))
	}
	out = append(out, step(nil, green))
	for _, l := range ch.Levels {
		out = append(out, step(o.hole(ch, l), colour(l.Severity)))
	}
	return out
}

// hole is the threshold of a level, still symbolic.
func (o *board) hole(ch checklist.Check, l checklist.Level) *float64 {
	return cog.ToPtr(numberHole(o.c.Params(), ch.ThresholdParam(l)))
}

func step(from *float64, colour string) dashboard.Threshold {
	return dashboard.Threshold{Value: from, Color: colour}
}

func thresholds(steps []dashboard.Threshold) *dashboard.ThresholdsConfigBuilder {
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// grafanaUnit is Grafana's id of a unit.
func grafanaUnit(u checklist.Unit) string {
	switch u {
	case checklist.Ratio:
		return "percentunit"
	case checklist.Celsius:
		return "celsius"
	case checklist.Seconds:
		return "s"
	case checklist.USD:
		return "currencyUSD"
	case checklist.PerSecond:
		return "reqps"
	}
	return "short"
}
