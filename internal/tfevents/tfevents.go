package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields, by message.
const (
	eventWallTime    = 1 // double, seconds
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5 // Summary
	eventSessionLog  = 7 // SessionLog

	summaryValue = 1 // repeated Value

	valueTag    = 1 // string
	valueSimple = 2 // float
	valueImage  = 4 // Image

	imageHeight, imageWidth, imageColorspace, imageEncoded = 1, 2, 3, 4

	sessionStatus = 1 // enum, of which 1 is START
)

// version is what each file begins with.
const version = "brain.Event:2"

// Scalar is a value by the name of its chart; a slash in it groups charts.
type Scalar struct {
	Tag   string
	Value float64
}

// AppendBegin appends what a file begins with.
func AppendBegin(b []byte, at time.Time) []byte {
	e := event(at, 0)
	e = protowire.AppendTag(e, eventFileVersion, protowire.BytesType)
	return appendRecord(b, protowire.AppendString(e, version))
}

// AppendStart appends that a run begins at a step, again if it had come further: what
// there is of this step and of later ones is not shown any more.
func AppendStart(b []byte, at time.Time, step uint64) []byte {
	log := protowire.AppendTag(nil, sessionStatus, protowire.VarintType)
	log = protowire.AppendVarint(log, 1)
	return appendRecord(b, appendMessage(event(at, step), eventSessionLog, log))
}

// AppendScalars appends values of a step.
func AppendScalars(b []byte, at time.Time, step uint64, scalars []Scalar) []byte {
	var summary []byte
	for _, s := range scalars {
		v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
		v = protowire.AppendString(v, s.Tag)
		v = protowire.AppendTag(v, valueSimple, protowire.Fixed32Type)
		v = protowire.AppendFixed32(v, math.Float32bits(float32(s.Value)))
		summary = appendMessage(summary, summaryValue, v)
	}
	return appendRecord(b, appendMessage(event(at, step), eventSummary, summary))
}

// AppendImage appends a PNG of height and width in pixels and so many channels.
func AppendImage(b []byte, at time.Time, step uint64, tag string, png []byte, height, width, channels int) []byte {
	var i []byte
	for field, n := range []int{imageHeight: height, imageWidth: width, imageColorspace: channels} {
		if field > 0 {
			i = protowire.AppendTag(i, protowire.Number(field), protowire.VarintType)
			i = protowire.AppendVarint(i, uint64(n))
		}
	}
	i = protowire.AppendTag(i, imageEncoded, protowire.BytesType)
	i = protowire.AppendBytes(i, png)
	v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
	v = appendMessage(protowire.AppendString(v, tag), valueImage, i)
	return appendRecord(b, appendMessage(event(at, step), eventSummary, appendMessage(nil, summaryValue, v)))
}

func event(at time.Time, step uint64) []byte {
	e := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, math.Float64bits(float64(at.UnixMicro())/1e6))
	e = protowire.AppendTag(e, eventStep, protowire.VarintType)
	return protowire.AppendVarint(e, step)
}

func appendMessage(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

// appendRecord appends a TFRecord: the length and its checksum, the data and its.
func appendRecord(b, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(append(b, length...), checksum(length))
	return binary.LittleEndian.AppendUint32(append(b, data...), checksum(data))
}

// checksum is the CRC-32C of data, masked as TFRecord wants it: rotated and moved, so
// that a checksum over data that holds checksums is a good one too.
func checksum(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	const delta = 0xa282ead8
	return (c>>15 | c<<17) + delta
}
