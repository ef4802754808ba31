package storage

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is as much of an S3 server as minio-go needs: one bucket in memory.
type fakeS3 struct {
	address string

	// answer, where set, may answer a request itself by returning true.
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	objects  map[string][]byte // by name in the bucket
	written  map[string]string // when, where it is another time than all others'
	uploads  map[string]map[int][]byte
	requests []string // method, name and conditional header
}

func startFakeS3(t *testing.T) *fakeS3 {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	f := &fakeS3{objects: map[string][]byte{}, uploads: map[string]map[int][]byte{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.address = server.Listener.Addr().(*net.TCPAddr).String()
	return f
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.answer != nil && f.answer(w, r) {
		return
	}
	body, err := payload(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	bucket, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, fmt.Sprintf("%s %s %q", r.Method, name, r.Header.Get("If-None-Match")))
	q := r.URL.Query()
	switch {
	case bucket != "bucket":
		s3Error(w, http.StatusNotFound, "NoSuchBucket")
	case name == "" && r.Method == http.MethodGet:
		f.list(w, q)
	case q.Has("uploads") || q.Has("uploadId"):
		f.multipart(w, r, name, q, body)
	case r.Method == http.MethodPut:
		f.put(w, r, name, body)
	case r.Method == http.MethodDelete:
		delete(f.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		data, ok := f.objects[name]
		if !ok {
			s3Error(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(data))
		http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(data))
	}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	if _, taken := f.objects[name]; taken && r.Header.Get("If-None-Match") == "*" {
		s3Error(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	f.objects[name] = body
	w.Header().Set("ETag", etag(body))
}

func (f *fakeS3) multipart(w http.ResponseWriter, r *http.Request, name string, q url.Values, body []byte) {
	id := q.Get("uploadId")
	switch r.Method {
	case http.MethodPut:
		number, _ := strconv.Atoi(q.Get("partNumber"))
		f.uploads[id][number] = body
		w.Header().Set("ETag", etag(body))
	case http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		if id == "" {
			id = fmt.Sprint(len(f.uploads))
			f.uploads[id] = map[int][]byte{}
			fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
			return
		}
		var whole []byte
		for n := 1; f.uploads[id][n] != nil; n++ {
			whole = append(whole, f.uploads[id][n]...)
		}
		delete(f.uploads, id)
		f.objects[name] = whole
		fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><ETag>%s</ETag></CompleteMultipartUploadResult>", etag(whole))
	}
}

// list answers ListObjectsV2, three keys a page, so that paging is tried.
func (f *fakeS3) list(w http.ResponseWriter, q url.Values) {
	type content struct {
		Key          string
		Size         int
		LastModified string
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		EncodingType          string
		Contents              []content
	}
	result.EncodingType = q.Get("encoding-type")
	var names []string
	for name := range f.objects {
		if strings.HasPrefix(name, q.Get("prefix")) && name > q.Get("continuation-token") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 3 {
		names = names[:3]
		result.IsTruncated, result.NextContinuationToken = true, names[2]
	}
	for _, name := range names {
		key := name
		if result.EncodingType == "url" {
			key = url.QueryEscape(name)
		}
		written := f.written[name]
		if written == "" {
			written = "2026-01-02T03:04:05.000Z"
		}
		result.Contents = append(result.Contents, content{key, len(f.objects[name]), written})
	}
	_ = xml.NewEncoder(w).Encode(result)
}

func s3Error(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants: %s</Message></Error>", code, code)
}

func etag(data []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(data)) }

// payload returns a request's content, without the signed chunks that it comes in
// over HTTP.
func payload(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	in, out := bufio.NewReader(r.Body), []byte{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return nil, err
		}
		chunk := make([]byte, n+2) // and a line's end
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		if out = append(out, chunk[:n]...); n == 0 {
			return out, nil
		}
	}
}
