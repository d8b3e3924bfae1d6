package pricebook

import (
	"time"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

const currency = "USD"

// file is the price table as it is written.
type file struct {
	// Currency must be USD: nothing is converted.
	Currency string       `yaml:"currency"`
	Prices   []writtenRow `yaml:"prices"`
}

type writtenRow struct {
	Model         string  `yaml:"model"`
	EffectiveFrom string  `yaml:"effective_from"`
	Billed        string  `yaml:"billed"`
	Currency      string  `yaml:"currency"`
	Input         *string `yaml:"input"`
	CachedInput   *string `yaml:"cached_input"`
	Output        *string `yaml:"output"`
}

// row checks one row; problems go to doc.
func (w writtenRow) row(doc *strictyaml.Doc, at string) Row {
	r := Row{Model: w.Model, Billed: Billed(w.Billed)}
	if w.Model == "" {
		doc.Addf(at+".model", "is missing")
	}
	switch {
	case w.EffectiveFrom == "":
		doc.Addf(at+".effective_from", "is missing: want the first moment of the price, such as 2026-01-01 or 2026-01-01T09:00:00+09:00")
	default:
		t, err := parseFrom(w.EffectiveFrom)
		if err != nil {
			doc.Addf(at+".effective_from", "%q is neither a date (2026-01-01, read as UTC) nor an RFC 3339 time (2026-01-01T09:00:00+09:00)", w.EffectiveFrom)
		}
		r.From = t
	}
	switch r.Billed {
	case Provider, Internal:
	case "":
		doc.Addf(at+".billed", "is missing: want provider (money that leaves the house) or internal (a price that only attributes GPU cost)")
	default:
		doc.Addf(at+".billed", "%q is unknown%s", w.Billed, strictyaml.Suggest(w.Billed, []string{string(Provider), string(Internal)}))
	}
	if w.Currency != "" && w.Currency != currency {
		doc.Addf(at+".currency", "%q is not supported: prices are in USD and nothing is converted", w.Currency)
	}
	if w.Input == nil {
		doc.Addf(at+".input", "is missing: want USD per million tokens such as \"0.15\"")
	}
	for k, field := range [Kinds]struct {
		key   string
		value *string
	}{{"input", w.Input}, {"cached_input", w.CachedInput}, {"output", w.Output}} {
		if field.value == nil {
			continue
		}
		p, err := ParsePrice(*field.value)
		if err != nil {
			doc.Addf(at+"."+field.key, "%v", err)
			continue
		}
		r.Prices[k] = &p
	}
	if r.Prices[CachedInput] == nil {
		r.Prices[CachedInput] = r.Prices[Input]
	}
	return r
}

// parseFrom reads a date as midnight UTC, or an RFC 3339 time.
func parseFrom(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err
}
