package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/internal/kube"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
)

// kubeSecrets are the names of the Secrets to make; "" is none.
type kubeSecrets struct {
	token, authority, store string
	labels                  map[string]string
}

// kubeSecretsCommand makes a cluster's secrets where only the cluster sees them: an
// installer that makes them itself keeps a copy.
func kubeSecretsCommand(stdout io.Writer) *cobra.Command {
	var f kubeSecrets
	c := &cobra.Command{
		Use:   "kube-secrets",
		Short: "In a pod: make the Secrets of a cluster unless they are there",
		Long: "Makes Secrets in the pod's namespace, as its service account, which needs the right to get\n" +
			"and create them. One that is there stays as it is. The helm chart runs this at each install.",
		Example: "  ddpmctl kube-secrets --token digits-token --authority digits-ca --store digits-minio",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.token == "" && f.authority == "" && f.store == "" {
				return usageError{errors.New("--token, --authority, --store: give at least one name")}
			}
			client, err := kube.InPod(kube.AccountDir, os.Getenv)
			if err != nil {
				return err
			}
			return f.ensure(c.Context(), client, stdout)
		},
	}
	c.Flags().StringVar(&f.token, "token", "", "name of the Secret with the token that lets workers in: token")
	c.Flags().StringVar(&f.authority, "authority", "", "name of the Secret with the cluster's authority: tls.crt, tls.key")
	c.Flags().StringVar(&f.store, "store", "", "name of the Secret with credentials for a new S3 server: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
	c.Flags().StringToStringVar(&f.labels, "label", nil, "labels of what is made, NAME=VALUE")
	return c
}

func (f *kubeSecrets) ensure(ctx context.Context, client *kube.Client, stdout io.Writer) error {
	for _, s := range []struct {
		name string
		keys []string
		draw func() (kube.Secret, error)
	}{
		{f.token, []string{"token"}, drawToken},
		{f.authority, []string{"tls.crt", "tls.key"}, drawAuthority},
		{f.store, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, drawStore},
	} {
		if s.name == "" {
			continue
		}
		made, err := kube.Ensure(ctx, client, s.name, s.keys, func() (kube.Secret, error) {
			drawn, err := s.draw()
			drawn.Labels = f.labels
			return drawn, err
		})
		if err != nil {
			return err
		}
		how := "is there"
		if made {
			how = "made"
		}
		fmt.Fprintf(stdout, "Secret %s: %s\n", s.name, how)
	}
	return nil
}

func drawToken() (kube.Secret, error) {
	return kube.Secret{Type: "Opaque", Data: map[string][]byte{"token": []byte(token.New().Reveal())}}, nil
}

func drawAuthority() (kube.Secret, error) {
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		return kube.Secret{}, err
	}
	certificate, key, err := ca.PEM()
	return kube.Secret{Type: "kubernetes.io/tls", Data: map[string][]byte{"tls.crt": certificate, "tls.key": key}}, err
}

func drawStore() (kube.Secret, error) {
	return kube.Secret{Type: "Opaque", Data: map[string][]byte{
		"AWS_ACCESS_KEY_ID": []byte("ddpm"), "AWS_SECRET_ACCESS_KEY": []byte(rand.Text()),
	}}, nil
}
