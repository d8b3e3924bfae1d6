package pricebook

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// pico is the number of units in one dollar: money is counted in whole
// units of 1e-12 USD, so that sums are exact at any size and in any order.
const pico = 1_000_000_000_000

// maxDigits bounds the whole part of a price per million tokens.
const maxDigits = 6

// Amount is a sum of money: exact, never negative, up to 1.8e19 USD.
type Amount struct {
	usd  uint64
	pico uint64 // below one dollar
}

// Price is the price of one token in units of 1e-12 USD, which is exactly the
// price of a million tokens in units of 1e-6 USD.
type Price uint64

// ParsePrice reads a decimal number of USD per million tokens with at most six
// digits on either side of the point, such as "0.15".
func ParsePrice(s string) (Price, error) {
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || point && frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a price: want a decimal number of USD per million tokens such as \"0.15\"", s)
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > maxDigits {
		return 0, fmt.Errorf("%q is more than 999999.999999 USD per million tokens", s)
	}
	if len(frac) > maxDigits {
		return 0, fmt.Errorf("%q has more than six decimal places", s)
	}
	var p uint64
	for _, c := range whole + frac + strings.Repeat("0", maxDigits-len(frac)) {
		p = p*10 + uint64(c-'0')
	}
	return Price(p), nil
}

// USDPerToken is the price of one token in USD, rounded to a float.
func (p Price) USDPerToken() float64 { return float64(p) / pico }

// String is the price of a million tokens in USD.
func (p Price) String() string { return fmt.Sprintf("%d.%06d", p/1_000_000, p%1_000_000) }

// Of is the exact price of n tokens.
func (p Price) Of(n uint64) Amount {
	hi, lo := bits.Mul64(uint64(p), n)
	// hi < pico because p < 1e12, so the quotient fits.
	usd, rest := bits.Div64(hi, lo, pico)
	return Amount{usd, rest}
}

// Plus is the exact sum.
func (a Amount) Plus(b Amount) Amount {
	s := Amount{a.usd + b.usd, a.pico + b.pico}
	if s.pico >= pico {
		s.usd, s.pico = s.usd+1, s.pico-pico
	}
	return s
}

// USD is the amount as a float, for a sample.
func (a Amount) USD() float64 { return float64(a.usd) + float64(a.pico)/pico }

// String is the exact decimal number of USD.
func (a Amount) String() string { return fmt.Sprintf("%d.%012d", a.usd, a.pico) }

// MarshalText and UnmarshalText keep every digit in the state file.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText writes and nothing else.
func (a *Amount) UnmarshalText(b []byte) error {
	var got Amount
	whole, frac, _ := strings.Cut(string(b), ".")
	if len(frac) != 12 || whole == "" || len(whole) > 19 || strings.Trim(whole+frac, "0123456789") != "" {
		return errors.New("an amount of money needs digits, a point and twelve digits")
	}
	for _, c := range whole {
		got.usd = got.usd*10 + uint64(c-'0')
	}
	for _, c := range frac {
		got.pico = got.pico*10 + uint64(c-'0')
	}
	*a = got
	return nil
}
