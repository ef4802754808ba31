package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Object is one object of a checkpoint.
type Object struct {
	Key    string `json:"key"`    // relative to the checkpoint's folder
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // of the content, 64 hexadecimal digits
}

// Part is the slice [Offset, Offset+len(Weights)) of a state of Total parameters.
// Its four vectors have the same length.
type Part struct {
	Offset, Total int64
	Weights       []float32
	M, V          []float32 // Adam's moments: exp_avg and exp_avg_sq
	EMA           []float32
}

// Names of the tensors in a part; the moments have those of PyTorch's Adam.
const (
	weightsName = "weights"
	firstName   = "exp_avg"
	secondName  = "exp_avg_sq"
	emaName     = "ema"
)

const tensorsType = "application/octet-stream"

// WritePart writes part index (from 0) of count of the checkpoint after step
// steps. The vectors are read while it writes and must not change meanwhile.
func WritePart(ctx context.Context, st storage.Store, run string, step uint64, index, count int, p Part) (Object, error) {
	n := int64(len(p.Weights))
	if len(p.M) != len(p.Weights) || len(p.V) != len(p.Weights) || len(p.EMA) != len(p.Weights) {
		return Object{}, fmt.Errorf("checkpoint: part %d of %d: vectors of %d, %d, %d and %d elements must be of equal length",
			index, count, len(p.Weights), len(p.M), len(p.V), len(p.EMA))
	}
	if index < 0 || index >= count || p.Offset < 0 || p.Offset > p.Total-n {
		return Object{}, fmt.Errorf("checkpoint: there is no part %d of %d with elements [%d, %d) of %d", index, count, p.Offset, p.Offset+n, p.Total)
	}
	metadata := map[string]string{
		"format": "pt",
		"offset": strconv.FormatInt(p.Offset, 10),
		"total":  strconv.FormatInt(p.Total, 10),
		"step":   strconv.FormatUint(step, 10),
	}
	shape := []int{len(p.Weights)}
	return writeTensors(ctx, st, run, step, PartKey(index, count), metadata, []safetensors.Tensor{
		{Name: weightsName, Shape: shape, Data: p.Weights},
		{Name: firstName, Shape: shape, Data: p.M},
		{Name: secondName, Shape: shape, Data: p.V},
		{Name: emaName, Shape: shape, Data: p.EMA},
	})
}

// WriteTensors writes a safetensors object of a checkpoint, such as the weights
// that diffusers reads, under a key relative to the checkpoint's folder.
func WriteTensors(ctx context.Context, st storage.Store, run string, step uint64, rel string, tensors []safetensors.Tensor) (Object, error) {
	return writeTensors(ctx, st, run, step, rel, map[string]string{"format": "pt"}, tensors)
}

func writeTensors(ctx context.Context, st storage.Store, run string, step uint64, rel string, metadata map[string]string, tensors []safetensors.Tensor) (Object, error) {
	_, size, err := safetensors.NewReader(metadata, tensors)
	if err != nil {
		return Object{}, fmt.Errorf("checkpoint: %s: %w", rel, err)
	}
	return write(ctx, st, run, step, rel, tensorsType, size, func() (io.Reader, error) {
		r, _, err := safetensors.NewReader(metadata, tensors)
		return r, err
	})
}

// WriteObject writes an object of a checkpoint under a key relative to the
// checkpoint's folder.
func WriteObject(ctx context.Context, st storage.Store, run string, step uint64, rel, contentType string, data []byte) (Object, error) {
	return write(ctx, st, run, step, rel, contentType, int64(len(data)), func() (io.Reader, error) { return bytes.NewReader(data), nil })
}

// write streams an object to the Store, hashing it on the way.
func write(ctx context.Context, st storage.Store, run string, step uint64, rel, contentType string, size int64, open func() (io.Reader, error)) (Object, error) {
	if err := ValidRunName(run); err != nil {
		return Object{}, err
	}
	if err := checkRelative(rel); err != nil {
		return Object{}, err
	}
	h := &hashing{reopened: reopened{open: open}, hash: sha256.New()}
	if err := h.Rewind(); err != nil {
		return Object{}, fmt.Errorf("checkpoint: %s: %w", rel, err)
	}
	if _, err := st.Put(ctx, StepPrefix(run, step)+rel, h, size, contentType); err != nil {
		return Object{}, err
	}
	return Object{Key: rel, Size: size, SHA256: hex.EncodeToString(h.hash.Sum(nil))}, nil
}

// hashing is content whose hash is made while it is read, as a storage.Rewinder.
type hashing struct {
	reopened
	hash hash.Hash
}

// Rewind implements storage.Rewinder.
func (h *hashing) Rewind() error {
	h.hash.Reset()
	return h.reopened.Rewind()
}

// Read implements io.Reader.
func (h *hashing) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.hash.Write(p[:n])
	return n, err
}

// reopened is content that is read from its start by opening it anew. It is a
// storage.Rewinder, and no seeker: nobody reads a part of it twice.
type reopened struct {
	open func() (io.Reader, error)
	r    io.Reader
}

// Rewind implements storage.Rewinder.
func (o *reopened) Rewind() (err error) {
	o.r, err = o.open()
	return err
}

// Read implements io.Reader.
func (o *reopened) Read(p []byte) (int, error) { return o.r.Read(p) }
