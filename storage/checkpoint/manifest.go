package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

var (
	// ErrCorrupt says that an object of a checkpoint is missing, cut short or
	// changed. The error names it.
	ErrCorrupt = errors.New("corrupt")
	// ErrNone says that a run has no usable checkpoint.
	ErrNone = errors.New("no usable checkpoint")
)

// Format is the manifest's version.
const Format = 1

// Manifest says what belongs to a checkpoint.
type Manifest struct {
	Format int    `json:"format"`
	Run    string `json:"run"`
	Step   uint64 `json:"step"`   // steps completed
	Digest string `json:"digest"` // of the whole state: "sha256:HEX"
	Params int64  `json:"params"` // elements of each of the state's vectors
	Parts  int    `json:"parts"`
	// Config is the SHA-256 of the run.json that the state is a function of; "" in manifests of
	// earlier versions.
	Config string `json:"config,omitempty"`
	// Objects are all but the manifest itself, sorted by key.
	Objects []Object `json:"objects"`
	// SHA256 is that of the manifest as it is written, but with "" in this place.
	// Publish sets it.
	SHA256 string `json:"sha256"`
}

// encode writes the manifest as it is stored, with its hash.
func (m Manifest) encode() ([]byte, error) {
	m.SHA256 = ""
	data, err := m.text()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	m.SHA256 = hex.EncodeToString(sum[:])
	return m.text()
}

func (m Manifest) text() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// Object returns the object of a relative key. Objects must be sorted.
func (m Manifest) Object(key string) (Object, bool) {
	i, ok := slices.BinarySearchFunc(m.Objects, key, func(o Object, key string) int { return strings.Compare(o.Key, key) })
	if !ok {
		return Object{}, false
	}
	return m.Objects[i], true
}

// Fits says whether the checkpoint is of a model with so many parameters;
// ErrCorrupt if not.
func (m Manifest) Fits(params int) error {
	if m.Params != int64(params) {
		return fmt.Errorf("checkpoint %s: %w: it has %d parameters, the run's model %d", StepPrefix(m.Run, m.Step), ErrCorrupt, m.Params, params)
	}
	return nil
}

// maxManifest bounds, in bytes, what is read as a manifest: some 100,000 objects.
const maxManifest = 16 << 20

var (
	hexHash    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// check says what is wrong with a manifest, if anything.
func (m Manifest) check() error {
	if m.Format != Format {
		return fmt.Errorf("manifest has format %d, this build reads %d", m.Format, Format)
	}
	if err := ValidRunName(m.Run); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if !digestForm.MatchString(m.Digest) {
		return fmt.Errorf("manifest has digest %q, want sha256: and 64 hexadecimal digits", m.Digest)
	}
	if m.Config != "" && !hexHash.MatchString(m.Config) {
		return fmt.Errorf("manifest has config %q, want 64 hexadecimal digits", m.Config)
	}
	if m.Params < 1 || m.Parts < 1 || m.Parts > len(m.Objects) {
		return fmt.Errorf("manifest has %d parameters in %d parts among %d objects", m.Params, m.Parts, len(m.Objects))
	}
	for i, o := range m.Objects {
		if err := checkRelative(o.Key); err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
		if o.Size < 0 || !hexHash.MatchString(o.SHA256) {
			return fmt.Errorf("manifest's object %s has size %d and SHA-256 %q", o.Key, o.Size, o.SHA256)
		}
		if i > 0 && m.Objects[i-1].Key >= o.Key {
			return fmt.Errorf("manifest's objects are not sorted, or one is there twice: %s", o.Key)
		}
	}
	for i := range m.Parts {
		if _, ok := m.Object(PartKey(i, m.Parts)); !ok {
			return fmt.Errorf("manifest lacks %s", PartKey(i, m.Parts))
		}
	}
	return nil
}

// parseManifest parses a manifest's bytes, which must be what encode wrote, to the
// last bit.
func parseManifest(data []byte) (Manifest, error) {
	m, err := decodeManifest(data)
	if err != nil {
		return Manifest{}, err
	}
	if written, err := m.encode(); err != nil || !bytes.Equal(written, data) {
		return Manifest{}, errors.Join(errors.New("manifest is not as it was written: its SHA-256 differs"), err)
	}
	return m, nil
}

// decodeManifest parses and checks a manifest, its hash aside.
func decodeManifest(data []byte) (Manifest, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var m Manifest
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("manifest is no JSON of a manifest: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("manifest goes on after its end")
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// ErrConflict says that somebody else writes to the same run.
var ErrConflict = errors.New("checkpoint: another writer")

// Publish writes the manifest, which makes the checkpoint exist. It sorts m's
// objects, and makes sure that they are there: whoever wrote one may have written
// it to another place.
//
// Of several publishers of one step the first wins. When the step is published
// already, Publish succeeds if that is the same state, by its Digest: the step was
// computed again, to the same bits. Then a manifest that names other objects (the
// state was cut into another number of parts) gives way to this one, whose objects
// have just been written; so does one that can't be read. Another Digest is an
// error, and nothing is changed.
func Publish(ctx context.Context, st storage.Store, m Manifest) error {
	m.Format = Format
	m.Objects = slices.Clone(m.Objects)
	slices.SortFunc(m.Objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	if err := m.check(); err != nil {
		return fmt.Errorf("checkpoint: publish step %d of run %s: %w", m.Step, m.Run, err)
	}
	found, err := listFolders(ctx, st, m.Run, StepPrefix(m.Run, m.Step))
	if err != nil {
		return err
	}
	if err := found.lack(m); err != nil {
		return fmt.Errorf("checkpoint: publish step %d of run %s: in %s %w, so a machine writes to another place of that name; give all machines one folder, or an s3:// URI",
			m.Step, m.Run, st, err)
	}
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("checkpoint: publish step %d of run %s: %w", m.Step, m.Run, err)
	}
	key := StepPrefix(m.Run, m.Step) + ManifestKey
	_, err = st.PutIfAbsent(ctx, key, bytes.NewReader(data), int64(len(data)), "application/json")
	if !errors.Is(err, storage.ErrExists) {
		return err
	}
	there, err := readAll(ctx, st, key, maxManifest)
	if err != nil {
		return err
	}
	if bytes.Equal(there, data) {
		return nil
	}
	if old, err := parseManifest(there); err == nil && old.Digest != m.Digest {
		return fmt.Errorf("%w: publish %s: it holds another state, %s, not %s; "+
			"a run's steps have one result, so another run, build or config writes under this name: choose another --run", ErrConflict, key, old.Digest, m.Digest)
	}
	_, err = st.Put(ctx, key, bytes.NewReader(data), int64(len(data)), "application/json")
	return err
}

// readAll reads a small object, at most limit bytes.
func readAll(ctx context.Context, st storage.Store, key string, limit int64) ([]byte, error) {
	r, info, err := st.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.Size > limit {
		return nil, errors.Join(fmt.Errorf("%s: %w: it has %d bytes, more than the %d that are read", key, ErrCorrupt, info.Size, limit), r.Close())
	}
	data, err := io.ReadAll(io.LimitReader(r, info.Size))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}
