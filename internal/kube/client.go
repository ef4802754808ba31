package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AccountDir is where a pod finds its service account: token, authority, namespace.
const AccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

const (
	// callLimit bounds one request.
	callLimit = 15 * time.Second
	// maxAnswer bounds what is read of an answer; a Secret has at most 1 MiB.
	maxAnswer = 4 << 20
)

var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("it is not there")
	// ErrExists says that somebody else has made it.
	ErrExists = errors.New("it is there already")
)

// Client reaches the API server as a pod's service account.
type Client struct {
	server, namespace string
	token             func() (string, error)
	http              *http.Client
}

// InPod is the client of the pod that this process runs in. folder is AccountDir.
func InPod(folder string, getenv func(string) string) (*Client, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	read := func(name string) (string, error) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return "", fmt.Errorf("the pod's service account: %w; set automountServiceAccountToken", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	namespace, err := read("namespace")
	if err != nil {
		return nil, err
	}
	authority, err := read("ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority)) {
		return nil, fmt.Errorf("there is no certificate in %s", filepath.Join(folder, "ca.crt"))
	}
	return &Client{
		server: "https://" + net.JoinHostPort(host, port), namespace: namespace,
		token: func() (string, error) { return read("token") }, // it is renewed
		http: &http.Client{Timeout: callLimit, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		}},
	}, nil
}

// Secret is one, as far as it is used here.
type Secret struct {
	Name   string
	Type   string
	Labels map[string]string
	Data   map[string][]byte
}

// secretObject is a Secret as the API has it.
type secretObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Type string            `json:"type,omitempty"`
	Data map[string][]byte `json:"data,omitempty"`
}

// Secret gets one of the pod's namespace. ErrNotFound.
func (c *Client) Secret(ctx context.Context, name string) (Secret, error) {
	var o secretObject
	if err := c.call(ctx, http.MethodGet, "/"+url.PathEscape(name), nil, &o); err != nil {
		return Secret{}, fmt.Errorf("get Secret %s/%s: %w", c.namespace, name, err)
	}
	return Secret{Name: o.Metadata.Name, Type: o.Type, Labels: o.Metadata.Labels, Data: o.Data}, nil
}

// Create makes one in the pod's namespace. ErrExists.
func (c *Client) Create(ctx context.Context, s Secret) error {
	o := secretObject{APIVersion: "v1", Kind: "Secret", Type: s.Type, Data: s.Data}
	o.Metadata.Name, o.Metadata.Namespace, o.Metadata.Labels = s.Name, c.namespace, s.Labels
	if err := c.call(ctx, http.MethodPost, "", o, nil); err != nil {
		return fmt.Errorf("create Secret %s/%s: %w", c.namespace, s.Name, err)
	}
	return nil
}

// call sends one request below the namespace's Secrets.
func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	at := c.server + "/api/v1/namespaces/" + url.PathEscape(c.namespace) + "/secrets" + path
	r, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(text))
	if err != nil {
		return err
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return err
	}
	return understood(answer.StatusCode, text, into)
}

// understood decodes an answer, or says what the API server minds.
func understood(code int, text []byte, into any) error {
	switch {
	case code == http.StatusNotFound:
		return ErrNotFound
	case code == http.StatusConflict:
		return ErrExists
	case code >= 300:
		var status struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(text, &status) != nil || status.Message == "" {
			status.Message = http.StatusText(code)
		}
		return fmt.Errorf("the API server answers %d: %s", code, status.Message)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}
