package evaluate

import (
	"encoding/json"
	"fmt"
)

// Where a job's tasks are measured in several places, an image's result travels as a
// file. JSON keeps every bit of a float64, so that the report of results that have
// travelled is that of those which have not.

// ReportName is a job's report. It is written last.
const ReportName = "report.json"

// ResultName is the file of an image's result.
func ResultName(image int) string { return fmt.Sprintf("results/%06d.json", image) }

// Encode writes the result as JSON.
func (r Result) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the result of image %d: %w", r.Image, err)
	}
	return b, nil
}

// DecodeResult reads what Result.Encode wrote.
func DecodeResult(b []byte) (Result, error) {
	var r Result
	err := decode(b, &r, "a result")
	return r, err
}
