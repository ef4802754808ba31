package pool

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

func TestHTTP(t *testing.T) {
	s := newLeader(t, newKeys())
	id := s.add(t, 1, 3, 1)
	mux := http.NewServeMux()
	s.Handle(mux)
	key := "runs/r/samples/" + id + "/" + job.ImageName(1)
	png, err := picture.Layout{Columns: 1, Zoom: 1}.PNG([][]uint8{make([]uint8, 16)}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	none := s.add(t, 2, 3, 1)
	if _, err := s.config.Store.Put(t.Context(), key, bytes.NewReader(png), int64(len(png)), "image/png"); err != nil {
		t.Fatal(err)
	}
	const kind = "application/json"
	for _, c := range []struct {
		method, path, kind, body string
		code                     int
		want                     string
	}{
		{"POST", "/api/samples", kind, `{"run":"nosuch","n":1,"seed":0}`, 404, "no such run"},
		{"POST", "/api/samples", kind, `{"run":"nosuch","n":1}`, 404, "no such run"},
		{"POST", "/api/samples", kind, `{"run":"r","n":0,"seed":0}`, 400, "n 0"},
		{"POST", "/api/samples", kind, strings.Repeat(" ", maxRequest+1), 400, "too large"},
		{"POST", "/api/samples", kind, `{"run":"r","n":1}{"run":"r","n":2}`, 400, "more behind"},
		{"POST", "/api/evaluations", kind, `{"run":"r","dataset":"glyphs://","n":2,"bins":1} x`, 400, "more behind"},
		{"POST", "/api/samples", "text/plain", `{}`, 400, "Content-Type"},
		{"GET", "/api/samples", "", "", 200, id},
		{"GET", "/api/samples/" + id, "", "", 200, `"state": "queued"`},
		{"GET", "/api/samples/nosuch", "", "", 404, "no job"},
		{"GET", "/api/samples/" + id + "/files/images/000001.png", "", "", 200, "PNG"},
		{"GET", "/api/samples/" + id + "/images", "", "", 200, "[\n  \"images/000001.png\"\n]"},
		{"GET", "/api/samples/" + id + "/preview.png", "", "", 200, "PNG"},
		{"GET", "/api/samples/" + none + "/images", "", "", 200, "[]"},
		{"GET", "/api/samples/" + none + "/preview.png", "", "", 404, "yet"},
		{"GET", "/api/samples/nosuch/preview.png", "", "", 404, "no job"},
		{"GET", "/api/samples/" + id + "/files/report.json", "", "", 404, "no file"},
		{"POST", "/api/evaluations", kind, `{"run":"nosuch","dataset":"glyphs://","n":2,"bins":1,"seed":0}`, 404, "no such run"},
		{"POST", "/api/evaluations", kind, `{"run":"nosuch","dataset":"glyphs://","n":2,"bins":1}`, 404, "no such run"},
		{"POST", "/api/evaluations", kind, `{"run":"nosuch","dataset":"/etc/passwd","n":2,"bins":1,"seed":0}`, 400, "store://"},
		{"POST", "/api/evaluations", kind, ``, 400, "empty"},
		{"POST", "/api/evaluations", kind, `{"colour":1}`, 400, "colour"},
		{"GET", "/api/samples/" + id + "/files/images/000002.png", "", "", 404, "not yet"},
		{"GET", "/api/samples/" + id + "/files/images/000003.png", "", "", 404, "no file"},
		{"GET", "/api/samples/" + id + "/files/run.json", "", "", 404, "no file"},
		{"DELETE", "/api/samples/" + id, "", "", 200, `"state": "cancelled"`},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s; want %d, %q", c.method, c.path, w.Code, w.Body, c.code, c.want)
		}
	}
	r := httptest.NewRequest("DELETE", "/api/samples/"+id, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("another site's page: %d", w.Code)
	}
}
