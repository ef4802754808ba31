package storage

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestS3Requests(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket/pre/fix/?insecure=true&region=us-east-1&endpoint="+fake.address)
	var ranges []string
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if h := r.Header.Get("Range"); h != "" {
			ranges = append(ranges, h)
		}
		return false
	}
	put(t, st, "a/k", "content")
	if _, err := st.PutIfAbsent(t.Context(), "a/k", strings.NewReader("x"), 1, "text/plain"); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	r, err := st.GetRange(t.Context(), "a/k", 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "nte" || errors.Join(err, r.Close()) != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := st.Delete(t.Context(), "a/k"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`PUT pre/fix/a/k ""`,
		`PUT pre/fix/a/k "*"`,
		`GET pre/fix/a/k ""`,
		`DELETE pre/fix/a/k ""`,
	}
	if !slices.Equal(fake.requests, want) || !slices.Equal(ranges, []string{"bytes=2-4"}) {
		t.Errorf("requests %q, ranges %q", fake.requests, ranges)
	}
}

// A request that the server could not take is sent again, with its body.
func TestS3Retries(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address)
	failures := 2
	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		if failures == 0 {
			return false
		}
		failures--
		s3Error(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	}
	body := io.MultiReader(strings.NewReader("con"), strings.NewReader("tent")) // can't be read twice
	if _, err := st.Put(t.Context(), "k", body, 7, "text/plain"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "k"); got != "content" || failures != 0 {
		t.Errorf("got %q with %d failures to come", got, failures)
	}
	large := strings.Repeat("large ", wholePut/6+1)
	failures = 2
	if _, err := st.PutIfAbsent(t.Context(), "large", strings.NewReader(large), int64(len(large)), "text/plain"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "large"); got != large || failures != 0 {
		t.Errorf("got %d bytes with %d failures to come", len(got), failures)
	}
}

// AWS answers a create-only write that meets another one with a conflict, and
// wants it repeated.
func TestS3CreateOnlyConflicts(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address)
	fake.objects["taken"] = []byte("theirs")
	for key, want := range map[string]error{"free": nil, "taken": ErrExists} {
		failures := 2
		fake.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			if failures == 0 {
				return false
			}
			failures--
			s3Error(w, http.StatusConflict, conflict)
			return true
		}
		if _, err := st.PutIfAbsent(t.Context(), key, strings.NewReader("ours"), 4, "text/plain"); !errors.Is(err, want) || failures != 0 {
			t.Errorf("%s: %v, with %d conflicts to come", key, err, failures)
		}
	}
	if string(fake.objects["free"]) != "ours" || string(fake.objects["taken"]) != "theirs" {
		t.Errorf("got %q", fake.objects)
	}
}

// Where the answer to a create-only write is lost, its repetition finds the object
// there: at start that is no reason to end.
func TestS3LostAnswerAtStart(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address)
	lost := false
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if lost || r.Method != http.MethodPut {
			return false
		}
		lost = true
		body, err := payload(r)
		if err != nil {
			t.Error(err)
		}
		fake.objects[strings.TrimPrefix(r.URL.Path, "/bucket/")] = body
		panic(http.ErrAbortHandler) // which cuts the connection
	}
	if err := Probe(t.Context(), st, quiet()); err != nil || !lost {
		t.Errorf("lost: %v, got %v", lost, err)
	}
}

// A missing bucket is not a missing object.
func TestS3NoBucket(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://other?insecure=true&region=us-east-1&endpoint="+fake.address)
	_, _, gerr := st.Get(t.Context(), "k")
	_, lerr := st.List(t.Context(), "")
	for _, err := range []error{gerr, lerr} {
		if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Errorf("got %v", err)
		}
	}
}

func TestS3SkipsWhatIsNoKey(t *testing.T) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket/p?insecure=true&region=us-east-1&endpoint="+fake.address)
	for i, name := range []string{"p/", "p/folder/", "p/folder/k", "p/x//y", "px"} {
		fake.objects[name] = fmt.Append(nil, i)
	}
	if got := keys(t, st, ""); !slices.Equal(got, []string{"folder/k"}) {
		t.Errorf("got %q", got)
	}
}
