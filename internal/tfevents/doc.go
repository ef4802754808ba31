// Package tfevents encodes what TensorBoard reads: events of TensorFlow's event.proto
// and summary.proto, each a record of the TFRecord format. Only what a run says is
// there: scalars, PNG pictures, and where a run began again.
package tfevents
