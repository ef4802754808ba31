package pool

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// addRun makes a run with a checkpoint of step 3 in the server's Store.
func (s *Server) addRun(t *testing.T, name string, spec ddpm.Spec) {
	t.Helper()
	ctx, store := t.Context(), s.config.Store
	text, err := spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.CreateRun(ctx, store, name, text); err != nil {
		t.Fatal(err)
	}
	w := make([]float32, spec.Model.ParamCount())
	m := checkpoint.Manifest{Format: checkpoint.Format, Run: name, Step: 3, Digest: "sha256:" + strings.Repeat("0", 64), Params: int64(len(w)), Parts: 1}
	o, err := checkpoint.WritePart(ctx, store, name, m.Step, 0, 1, checkpoint.Part{Total: m.Params, Weights: w, M: w, V: w, EMA: w})
	if err != nil {
		t.Fatal(err)
	}
	m.Objects = append(m.Objects, o)
	if err := checkpoint.Publish(ctx, store, m); err != nil {
		t.Fatal(err)
	}
}

// addUnlabelled makes a dataset of n images that the spec's model takes, without labels.
func (s *Server) addUnlabelled(t *testing.T, name string, n int, spec ddpm.Spec) {
	t.Helper()
	shape := packed.Shape{Height: spec.Model.Size, Width: spec.Model.Size, Channels: spec.Model.InChannels}
	w, err := packed.NewWriter(storage.AsBlobs(s.config.Store), packed.Prefix(name), shape, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := w.Add(t.Context(), make([]byte, shape.Bytes()), packed.NoLabel); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context(), packed.Manifest{}); err != nil {
		t.Fatal(err)
	}
}

// What no worker could do, or no machine has the memory for, is refused when it is
// submitted, and leaves nothing behind that a restart would find.
func TestWhatCannotBeDoneIsNotQueued(t *testing.T) {
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys()
	s := newLeader(t, keys)
	latent := p.Spec
	latent.Model.InChannels, latent.Model.OutChannels = 4, 4
	for name, spec := range map[string]ddpm.Spec{
		"plain": p.Spec, "latent": latent, "five": p.Spec.WithClasses(5, 0.1), "ten": p.Spec.WithClasses(10, 0.1),
	} {
		s.addRun(t, name, spec)
	}
	s.addUnlabelled(t, "bare", 3, p.Spec)
	mux := http.NewServeMux()
	s.Handle(mux)
	queued := 0
	for _, c := range []struct {
		path, body string
		says       string // "" for a job that is queued
	}{
		{"evaluations", `{"run":"plain","dataset":"glyphs://?n=2147483648","n":2147483648,"terms":1000,"bins":5,"seed":0}`, "2 … 250000"},
		{"evaluations", `{"run":"plain","dataset":"glyphs://?n=250000","n":250000,"bins":16,"seed":0}`, "at most 15"},
		{"evaluations", `{"run":"plain","dataset":"glyphs://?n=250000","n":250000,"bins":15,"seed":0}`, ""},
		{"evaluations", `{"run":"five","dataset":"glyphs://?n=40","n":40,"bins":5,"seed":0}`, "but the model has classes 0 … 4; measure on"},
		{"evaluations", `{"run":"ten","dataset":"glyphs://?n=40","n":40,"bins":5,"seed":0}`, ""},
		{"evaluations", `{"run":"ten","dataset":"store://bare","n":2,"bins":5,"seed":0}`, "has no labels"},
		{"evaluations", `{"run":"plain","dataset":"store://bare","n":2,"bins":5,"seed":0}`, ""},
		{"samples", `{"run":"latent","n":1,"seed":0}`, "images of 4 channels"},
		{"samples", `{"run":"plain","n":1,"seed":0}`, ""},
		{"samples", `{"run":"ten","n":9,"sampler":"ddim","interpolate":12,"classes":[3,8],"seed":7}`, "name one class"},
		{"samples", `{"run":"ten","n":9,"sampler":"ddim","interpolate":12,"classes":[3],"seed":7}`, ""},
	} {
		r := httptest.NewRequest("POST", "/api/"+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		code := http.StatusBadRequest
		if c.says == "" {
			code = http.StatusCreated
			queued++
		}
		if w.Code != code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s; want %d, %q", c.body, w.Code, w.Body, code, c.says)
		}
		if len(s.queue.All()) != queued || len(keys.values) != queued {
			t.Fatalf("%s: %d jobs are queued and %d keys written, want %d", c.body, len(s.queue.All()), len(keys.values), queued)
		}
	}
	for _, id := range s.queue.All() {
		if r, _ := s.queue.Find(id); r.tasks() > tasksAtMost {
			t.Errorf("%d images are %d tasks", r.images(), r.tasks())
		}
	}
}

// A job whose tasks would not fit in memory does not end each coordinator that reads it:
// it fails, and stays so.
func TestARecordThatIsTooLargeFails(t *testing.T) {
	const large = `{"id":"large","number":1,"task_size":1,"build":"build","state":"open",`
	for _, text := range []string{
		large + `"evaluation":{"run":"r","n":9000000000000000000,"terms":1000,"bins":5}}`,
		large + `"evaluation":{"run":"r","n":100000,"terms":1000,"bins":999}}`,
		large + `"job":{"run":"r","n":9000000000000000000}}`,
		large + `"job":{"run":"r","n":-5}}`,
	} {
		keys := newKeys()
		keys.values[jobKey("large")] = text
		for range 2 {
			s := newLeader(t, keys)
			r, _ := s.queue.Find("large")
			if r.State != Failed || !strings.Contains(r.Reason, "size") || r.Ended.IsZero() {
				t.Errorf("%s is %s: %s", text, r.State, r.Reason)
			}
			if !strings.Contains(keys.values[jobKey("large")], `"failed"`) {
				t.Errorf("the end is not written: %s", keys.values[jobKey("large")])
			}
			s.add(t, 2, 1, 1)
			if l, _, err := s.take(t.Context(), "w"); err != nil || l.GetJobId() != "job2" {
				t.Errorf("the job behind it: %v, %v", l, err)
			}
			delete(keys.values, jobKey("job2"))
		}
	}
}
