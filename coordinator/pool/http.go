package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// sendLimit bounds how long a file may take to be sent.
const sendLimit = 10 * time.Minute

// Handle adds the jobs over HTTP, as docs/openapi.yaml describes them. Who may call is
// for the caller to see to; pages of other sites may not, whoever's browser shows them.
func (s *Server) Handle(mux *http.ServeMux) {
	own := http.NewCrossOriginProtection()
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
		mux.Handle(pattern, own.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				answer(w, httpStatus(err), map[string]string{"error": status.Convert(err).Message()})
			}
		})))
	}
	handle("POST /api/samples", func(w http.ResponseWriter, r *http.Request) error {
		return s.httpSubmit(w, r, func(text []byte) (*ddpmv1.SubmitJobRequest, error) {
			return &ddpmv1.SubmitJobRequest{Request: text}, nil
		})
	})
	handle("POST /api/evaluations", func(w http.ResponseWriter, r *http.Request) error {
		return s.httpSubmit(w, r, httpEvaluation)
	})
	handle("GET /api/samples", s.httpList)
	handle("GET /api/samples/{id}", s.httpGet)
	handle("DELETE /api/samples/{id}", s.httpCancel)
	handle("GET /api/samples/{id}/images", s.httpImages)
	handle("GET /api/samples/{id}/preview.png", s.httpPreview)
	handle("GET /api/samples/{id}/files/{name...}", s.httpFile)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a client that is gone
}

func httpStatus(err error) int {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.FailedPrecondition:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (s *Server) httpSubmit(w http.ResponseWriter, r *http.Request, request func(text []byte) (*ddpmv1.SubmitJobRequest, error)) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return status.Error(codes.InvalidArgument, "the Content-Type must be application/json")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "read the request: %v", err)
	}
	if len(text) == 0 {
		return status.Error(codes.InvalidArgument, "the request is empty; it must be a JSON object")
	}
	q, err := request(text)
	if err != nil {
		return err
	}
	st, err := s.submit(r.Context(), q)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/samples/"+st.GetId())
	answer(w, http.StatusCreated, NewView(st))
	return nil
}

// httpEvaluation is the evaluation that is asked for. On a loopback address anybody of
// this machine may ask, who shall not learn of files that the coordinator may read.
func httpEvaluation(text []byte) (*ddpmv1.SubmitJobRequest, error) {
	q, err := evaluate.DecodeRequest(text)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !strings.HasPrefix(q.Dataset, "store://") && !strings.HasPrefix(q.Dataset, "glyphs://") {
		return nil, status.Errorf(codes.InvalidArgument, "dataset %q: over HTTP it must be store://NAME, a dataset of the Store, or glyphs://; ddpmctl eval takes others", words(q.Dataset))
	}
	return &ddpmv1.SubmitJobRequest{Evaluation: text}, nil
}

func (s *Server) httpList(w http.ResponseWriter, r *http.Request) error {
	all, err := jobs{s: s}.ListJobs(r.Context(), &ddpmv1.ListJobsRequest{})
	if err != nil {
		return err
	}
	views := make([]View, len(all.GetJobs()))
	for i, st := range all.GetJobs() {
		views[i] = NewView(st)
	}
	answer(w, http.StatusOK, views)
	return nil
}

func (s *Server) httpGet(w http.ResponseWriter, r *http.Request) error {
	st, err := jobs{s: s}.look(r.Context(), r.PathValue("id"))
	if err == nil {
		answer(w, http.StatusOK, NewView(st))
	}
	return err
}

func (s *Server) httpCancel(w http.ResponseWriter, r *http.Request) error {
	st, err := jobs{s: s}.CancelJob(r.Context(), &ddpmv1.CancelJobRequest{Id: r.PathValue("id")})
	if err == nil {
		answer(w, http.StatusOK, NewView(st.GetJob()))
	}
	return err
}

// httpFile sends a file of a job as soon as it is there, images of a job that is under
// way among them.
func (s *Server) httpFile(w http.ResponseWriter, r *http.Request) error {
	st, err := jobs{s: s}.look(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if !isFile(name, st) {
		return status.Errorf(codes.NotFound, "a job has no file %q", words(name))
	}
	content, info, err := s.config.Store.Get(r.Context(), st.GetPrefix()+name)
	if errors.Is(err, storage.ErrNotFound) {
		return status.Errorf(codes.NotFound, "%s of job %s is not there, or not yet", name, st.GetId())
	}
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	defer content.Close()
	kind := map[string]string{".png": "image/png", ".json": "application/json"}[path.Ext(name)]
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size, 10))
	w.Header().Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", path.Base(name)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendLimit)) // or the server's limit holds
	_, _ = io.Copy(w, content)                                                    // the client sees by the length that it was cut off
	return nil
}

// isFile says that a job has a file of the name.
func isFile(name string, st *ddpmv1.JobStatus) bool {
	if len(st.GetEvaluation()) > 0 {
		return name == evaluate.ReportName
	}
	switch name {
	case job.GridName, job.NPZName, job.TrajectoryName, job.JobName:
		return true
	}
	n, ok := imageOf(name)
	return ok && n < int(st.GetImages())
}

// httpImages lists the images that are drawn by now.
func (s *Server) httpImages(w http.ResponseWriter, r *http.Request) error {
	st, err := jobs{s: s}.look(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	drawn, err := Finished(r.Context(), s.config.Store, st.GetPrefix())
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	names := make([]string, len(drawn))
	for i, n := range drawn {
		names[i] = job.ImageName(n)
	}
	answer(w, http.StatusOK, names)
	return nil
}

// httpPreview draws the images that are there by now, the first ones, on one picture.
func (s *Server) httpPreview(w http.ResponseWriter, r *http.Request) error {
	st, err := jobs{s: s}.look(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	drawn, err := Finished(r.Context(), s.config.Store, st.GetPrefix())
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if len(drawn) == 0 {
		return status.Errorf(codes.NotFound, "no image of job %s is there yet", st.GetId())
	}
	png, err := preview(r.Context(), s.config.Store, st.GetPrefix(), drawn[:min(len(drawn), previewImages)])
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "no-store") // there are more in a moment
	_, _ = w.Write(png)                         // a client that is gone
	return nil
}
