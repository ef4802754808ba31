package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// location is a parsed URI: a directory, or a bucket where bucket is not "".
type location struct {
	dir string // absolute

	bucket, prefix   string // prefix without slashes at its ends
	endpoint, region string // endpoint as host:port; "" is AWS
	insecure         bool   // HTTP instead of HTTPS
}

// Open returns the Store that a URI names (see the package's documentation). It
// reaches no network and makes no directory: Probe finds out whether it works.
func Open(_ context.Context, uri string) (Store, error) {
	loc, err := parse(uri)
	if err != nil {
		return nil, err
	}
	if loc.bucket != "" {
		return openS3(loc)
	}
	return openLocal(loc.dir)
}

// Canonical returns the URI in the one form that means the same in every working
// directory: an absolute path, or an S3 URI with sorted options. The result is
// safe to log, since a URI with a password in it is refused.
func Canonical(uri string) (string, error) {
	loc, err := parse(uri)
	if err != nil {
		return "", err
	}
	return loc.String(), nil
}

func (l location) String() string {
	if l.bucket == "" {
		return l.dir
	}
	q := url.Values{}
	if l.endpoint != "" {
		q.Set("endpoint", l.endpoint)
	}
	if l.region != "" {
		q.Set("region", l.region)
	}
	if l.insecure {
		q.Set("insecure", "true")
	}
	u := url.URL{Scheme: "s3", Host: l.bucket, Path: l.prefix, RawQuery: strings.ReplaceAll(q.Encode(), "%3A", ":")}
	return u.String()
}

var schemeRE = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)

// bucketRE is S3's rule for the names of buckets.
var bucketRE = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// mistypedRE is the beginning of what was meant as a URI, and would be a folder's name.
var mistypedRE = regexp.MustCompile(`(?i)^(s3|file)(:|//)`)

var errFileURI = errors.New("storage: a file URI is file:///absolute/path")

const s3Form = "s3://bucket/prefix?endpoint=host:port&region=name&insecure=true"

func parse(uri string) (location, error) {
	m, mistyped := schemeRE.FindStringSubmatch(uri), mistypedRE.FindStringSubmatch(uri)
	switch {
	case uri == "":
		return location{}, errors.New("storage: no URI; give a directory or " + s3Form)
	case m == nil && mistyped != nil && strings.EqualFold(mistyped[1], "s3"):
		return location{}, errors.New("storage: an S3 URI has a colon and two slashes: " + s3Form)
	case m == nil && mistyped != nil:
		return location{}, errFileURI
	case m == nil:
		return parsePath(uri)
	}
	scheme, rest := strings.ToLower(m[1]), uri[len(m[0]):]
	switch scheme {
	case "file":
		path, err := url.PathUnescape(rest)
		if err != nil || !strings.HasPrefix(strings.TrimPrefix(path, "localhost"), "/") {
			return location{}, errFileURI
		}
		return parsePath(strings.TrimPrefix(path, "localhost"))
	case "s3":
		return parseS3(rest)
	}
	return location{}, fmt.Errorf("storage: unknown scheme %s://; give a directory, file:///path or %s", scheme, s3Form)
}

func parsePath(path string) (location, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return location{}, fmt.Errorf("storage %s: can't make it absolute: %w", path, err)
	}
	return location{dir: abs}, nil
}

// parseS3 parses what follows s3://. Its errors never repeat the URI, since that
// may hold a password.
func parseS3(rest string) (location, error) {
	if decoded, err := url.PathUnescape(rest); err != nil || strings.Contains(decoded, "@") {
		return location{}, errors.New("storage: an S3 URI holds no user or password, since it is logged; " +
			"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment and write " + s3Form)
	}
	address, query, _ := strings.Cut(rest, "?")
	bucket, prefix, _ := strings.Cut(address, "/")
	if !bucketRE.MatchString(bucket) {
		return location{}, errors.New("storage: the S3 URI has no valid bucket name; write " + s3Form)
	}
	prefix, err := url.PathUnescape(strings.Trim(prefix, "/"))
	if err == nil && prefix != "" {
		err = checkKey(prefix)
	}
	if err != nil {
		return location{}, fmt.Errorf("storage s3://%s: the prefix is no path: %w", bucket, err)
	}
	loc := location{bucket: bucket, prefix: prefix}
	if err := loc.setOptions(query); err != nil {
		return location{}, err
	}
	return loc, nil
}

func (l *location) setOptions(query string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("storage s3://%s: can't read the options; write %s", l.bucket, s3Form)
	}
	for name, values := range q {
		if !slices.Contains([]string{"endpoint", "region", "insecure"}, name) {
			return fmt.Errorf("storage s3://%s: unknown option %q; there are endpoint, region and insecure", l.bucket, name)
		}
		if len(values) != 1 {
			return fmt.Errorf("storage s3://%s: option %s is given %d times", l.bucket, name, len(values))
		}
	}
	l.endpoint, l.region = q.Get("endpoint"), q.Get("region")
	if strings.Contains(l.endpoint, "/") {
		return fmt.Errorf("storage s3://%s: endpoint is host:port without a scheme or a path; insecure=true says HTTP", l.bucket)
	}
	switch v := q.Get("insecure"); v {
	case "true":
		l.insecure = true
	case "false", "":
	default:
		return fmt.Errorf("storage s3://%s: insecure is true or false, not %q", l.bucket, v)
	}
	return nil
}
