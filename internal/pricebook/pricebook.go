// Package pricebook holds dated prices per model and answers what a call cost
// at the time it was made. Arithmetic is in whole units of 1e-12 USD.
package pricebook

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// Billed says who is paid for tokens.
type Billed string

// Tokens billed by a provider are money spent; internal prices only attribute
// the cost of GPUs that are paid for anyway.
const (
	Provider Billed = "provider"
	Internal Billed = "internal"
)

// Kind is a kind of token with a price of its own.
type Kind int

// The kinds in the order of Charge.Cost. Cached input tokens are not part of
// Input here: what a request read from a cache is charged once.
const (
	Input Kind = iota
	CachedInput
	Output
	Kinds
)

// String is the label value.
func (k Kind) String() string { return [Kinds]string{"input", "cached_input", "output"}[k] }

// Usage is what one request used. Input includes Cached.
type Usage struct{ Input, Cached, Output uint64 }

// Charge is what a request cost by kind, and the tokens without a price.
type Charge struct {
	Billed   Billed
	Cost     [Kinds]Amount
	Unpriced uint64
}

// Row is the price of a model from a moment on.
type Row struct {
	Model  string
	From   time.Time
	Billed Billed
	// Prices by kind; nil where the book gives none.
	Prices [Kinds]*Price
}

// Book is a valid table of prices. The zero Book has none.
type Book struct {
	rows map[string][]Row // by model, newest first
}

// Load reads a price table. It returns nil and every problem with its file,
// line and key on any error.
func Load(name string, data []byte) (*Book, error) {
	var f file
	doc := strictyaml.Decode(name, data, &f)
	b := &Book{rows: map[string][]Row{}}
	if doc.Err() == nil && len(f.Prices) == 0 {
		doc.Addf("prices", "the table is empty: want a list of rows with model, effective_from, billed and input")
	}
	if f.Currency != "" && f.Currency != currency {
		doc.Addf("currency", "%q is not supported: prices are in USD and nothing is converted", f.Currency)
	}
	for i, w := range f.Prices {
		r := w.row(doc, fmt.Sprintf("prices[%d]", i))
		at := fmt.Sprintf("prices[%d].effective_from", i)
		if r.Model != "" && !r.From.IsZero() && slices.ContainsFunc(b.rows[r.Model], func(o Row) bool { return o.From.Equal(r.From) }) {
			doc.Addf(at, "%s already has a price from %s on", r.Model, r.From.Format(time.RFC3339))
		}
		b.rows[r.Model] = append(b.rows[r.Model], r)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	for _, rows := range b.rows {
		slices.SortFunc(rows, func(a, b Row) int { return b.From.Compare(a.From) })
	}
	return b, nil
}

// At is the row in force for a model: the highest effective_from that is not
// after t.
func (b *Book) At(model string, t time.Time) (Row, bool) {
	if b == nil {
		return Row{}, false
	}
	for _, r := range b.rows[model] {
		if !r.From.After(t) {
			return r, true
		}
	}
	return Row{}, false
}

// Cost is the charge for a request made at t. Tokens of a kind without a price
// are unpriced, never free; cached input without a price of its own costs
// what input costs.
func (b *Book) Cost(model string, u Usage, t time.Time) Charge {
	r, ok := b.At(model, t)
	if !ok {
		return Charge{Unpriced: u.Input + u.Output}
	}
	c := Charge{Billed: r.Billed}
	cached := min(u.Cached, u.Input)
	for k, n := range [Kinds]uint64{u.Input - cached, cached, u.Output} {
		if p := r.Prices[k]; p != nil {
			c.Cost[k] = p.Of(n)
		} else {
			c.Unpriced += n
		}
	}
	return c
}

// Current lists the rows in force at t, one per model, sorted by model.
func (b *Book) Current(t time.Time) []Row {
	if b == nil {
		return nil
	}
	var out []Row
	for model := range b.rows {
		if r, ok := b.At(model, t); ok {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Row) int { return cmp.Compare(a.Model, b.Model) })
	return out
}
