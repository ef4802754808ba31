package report

import (
	"encoding/json"
	"math"
	"strconv"
)

// Number is a float64 that JSON may not have: what is not finite is null there, and
// null is NaN here.
type Number float64

// Finite says that it is neither NaN nor infinite.
func (n Number) Finite() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// Unknown is what has no value yet.
func Unknown() Number { return Number(math.NaN()) }

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.Finite() {
		return json.Marshal(float64(n))
	}
	return []byte("null"), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	*n = Number(f)
	return err
}

// Column is a curve's values, in the short form of float32: a picture has no more.
type Column []float64

// MarshalJSON implements json.Marshaler.
func (c Column) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 10*len(c)+2), '[')
	for i, f := range c {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, f, 'g', 7, 64)
	}
	return append(out, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Column) UnmarshalJSON(text []byte) error {
	var numbers []Number
	if err := json.Unmarshal(text, &numbers); err != nil {
		return err
	}
	*c = make(Column, len(numbers))
	for i, n := range numbers {
		(*c)[i] = float64(n)
	}
	return nil
}
