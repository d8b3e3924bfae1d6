package collector

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/genai-exporter/genai-exporter/internal/pricebook"
)

var (
	costUSD = Family{
		Name: "genai_cost_usd_total", Type: Counter, Labels: []string{"runtime", "model", "namespace", "kind", "billed"},
		Help:  "Cost of tokens in USD at the price in force at each request's own time, by kind (input without cached input, cached_input, output) and by who bills them: provider is money spent, internal only attributes GPU cost and must not be added to it.",
		Bound: inferenceBound + " x 3 x 2", Origin: "request log and price table, exact to 1e-12 USD",
	}
	costUnpriced = Family{
		Name: "genai_cost_unpriced_tokens_total", Type: Counter, Labels: []string{"runtime", "model", "namespace"},
		Help:  "Tokens for which the price table had no price at the request's own time; they are in no cost.",
		Bound: inferenceBound, Origin: "request log and price table",
	}
	priceUSD = Family{
		Name: "genai_price_usd", Type: Gauge, Labels: []string{"model", "kind", "billed"},
		Help:  "Price now in force of one token in USD (the price table gives it per million tokens).",
		Bound: "models of the price table x 3", Origin: "price table",
	}
	priceTableTimestamp = Family{
		Name: "genai_price_table_timestamp_seconds", Type: Gauge,
		Help:   "When the price table in force was last written, in seconds since the epoch.",
		Origin: "modification time of the price table",
	}
)

func costFamilies() []Family { return []Family{costUSD, costUnpriced, priceUSD, priceTableTimestamp} }

// Cost shows what requests cost. The money is counted by the RequestLog, in
// the same checkpoint as the requests.
type Cost struct{ requests *RequestLog }

// NewCost shows the money that r counts.
func NewCost(r *RequestLog) *Cost { return &Cost{r} }

// Name is cost.
func (c *Cost) Name() string { return "cost" }

// Collect shows cost at the last checkpoint and the prices of this moment.
func (c *Cost) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	p, l := c.requests.published.Load(), c.requests.live.Load()
	now := c.requests.o.Now()
	prices := l.cfg.Prices
	for _, s := range p.totals.Series {
		for _, billed := range []pricebook.Billed{pricebook.Provider, pricebook.Internal} {
			sum, ok := s.Cost[billed]
			row, priced := prices.Book.At(s.Model, now)
			if !ok && !(priced && row.Billed == billed) {
				continue
			}
			for k, amount := range sum {
				ch <- costUSD.Sample(amount.USD(), logRuntime, s.Model, s.Namespace, pricebook.Kind(k).String(), string(billed))
			}
		}
		ch <- costUnpriced.Sample(float64(s.Unpriced), logRuntime, s.Model, s.Namespace)
	}
	for _, row := range prices.Book.Current(now) {
		for k, price := range row.Prices {
			if price != nil {
				ch <- priceUSD.Sample(price.USDPerToken(), row.Model, pricebook.Kind(k).String(), string(row.Billed))
			}
		}
	}
	if prices.Book != nil {
		ch <- priceTableTimestamp.Sample(float64(prices.ModTime.UnixMilli()) / 1000)
	}
	return nil
}
