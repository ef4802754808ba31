package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// again is content that can be read again.
type again struct {
	data []byte
	r    io.Reader
}

func (a *again) Rewind() error { a.r = bytes.NewReader(a.data); return nil }

func (a *again) Read(p []byte) (int, error) { return a.r.Read(p) }

// faults are what a way to a server does for a time.
var faults = map[string]s3test.Fault{
	"down":        {Refuse: true},
	"503":         {Unavailable: true},
	"cuts bodies": {CutAfter: 700_000},
	"silent":      {Stall: true},
}

// What a patient Store does while the way to MinIO is broken is late, and whole.
func TestPatientOutlastsFaults(t *testing.T) {
	server := s3test.StartMinIO(t)
	server.SetEnv(t)
	data := make([]byte, wholePut+5<<20) // goes up in several requests
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := s3test.StartProxy(t, server.Address)
			direct := open(t, s3test.URI(server.Address, "patient "+name))
			st := Patient(open(t, s3test.URI(proxy.Address, "patient "+name)), time.Minute, quiet()).(*patient)
			st.first = 50 * time.Millisecond
			put(t, direct, "old", string(data))

			// Writing: an object, and one that is create-only.
			trouble := func() {
				proxy.Set(fault)
				time.AfterFunc(2*time.Second, func() { proxy.Set(s3test.Fault{}) })
			}
			trouble()
			if _, err := st.Put(t.Context(), "new", &again{data: data}, int64(len(data)), "application/octet-stream"); err != nil {
				t.Fatal(err)
			}
			if got := get(t, direct, "new"); got != string(data) {
				t.Errorf("%d bytes came back as %d other ones", len(data), len(got))
			}
			trouble()
			if _, err := st.PutIfAbsent(t.Context(), "once", strings.NewReader("x"), 1, "text/plain"); err != nil && !errors.Is(err, ErrExists) {
				t.Error(err)
			}
			// Reading, where the fault comes midway.
			r, _, err := st.Get(t.Context(), "old")
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1000)
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatal(err)
			}
			trouble()
			rest, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(append(got, rest...), data) {
				t.Errorf("read %d bytes, %v", len(got)+len(rest), err)
			}
		})
	}
}

// broken is a Store that fails in one way.
type broken struct {
	Store
	err   error
	tries int
}

func (b *broken) Put(context.Context, string, io.Reader, int64, string) (Info, error) {
	b.tries++
	return Info{}, fmt.Errorf("storage: put: %w", b.err)
}

func TestPatientGivesUp(t *testing.T) {
	for _, test := range []struct {
		err   error
		again bool
	}{
		{syscall.ENOSPC, true},
		{syscall.ECONNREFUSED, true},
		{syscall.EACCES, false},
		{ErrExists, false},
		{context.Canceled, false},
		{mistakef("a bad key"), false},
	} {
		b := &broken{err: test.err}
		st := Patient(b, 20*time.Millisecond, quiet()).(*patient)
		st.first = time.Millisecond
		_, err := st.Put(t.Context(), "k", &again{data: []byte("x")}, 1, "text/plain")
		if !errors.Is(err, test.err) || errors.Is(err, ErrGaveUp) != test.again || (b.tries > 1) != test.again {
			t.Errorf("%v: %d tries, %v", test.err, b.tries, err)
		}
	}
	// The end of the context ends the patience.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	b := &broken{err: syscall.ENOSPC}
	if _, err := Patient(b, time.Hour, quiet()).Put(ctx, "k", &again{data: []byte("x")}, 1, "text/plain"); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// cut is a Store whose objects break midway, and then can't be opened again.
type cut struct {
	Store
	err error
}

func (c cut) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	body, info, err := c.Store.Get(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, 2), iotest.ErrReader(io.ErrUnexpectedEOF)), body}, info, nil
}

func (c cut) GetRange(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, c.err
}

// However a read ends that broke, who reads can close it.
func TestPatientClosesWhatItGaveUp(t *testing.T) {
	local := open(t, t.TempDir())
	put(t, local, "k", "content")
	for _, want := range []error{syscall.ECONNREFUSED, ErrNotFound, syscall.EACCES} {
		st := Patient(cut{local, want}, 20*time.Millisecond, quiet()).(*patient)
		st.first = time.Millisecond
		r, _, err := st.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != "co" || !errors.Is(err, want) || errors.Is(err, ErrGaveUp) != errors.Is(want, syscall.ECONNREFUSED) {
			t.Errorf("%v: got %q, %v", want, got, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%v: closing fails: %v", want, err)
		}
	}
}
