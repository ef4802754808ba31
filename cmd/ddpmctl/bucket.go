package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// bucketCommand prepares the Store of a new cluster.
func bucketCommand(stdout io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "bucket",
		Example: "  ddpmctl bucket create --storage 's3://ddpm?endpoint=minio:9000&insecure=true'",
		Short:   "Prepare the bucket of a Store",
		Args:    ownCommands,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var uri string
	var wait time.Duration
	create := &cobra.Command{
		Use:     "create --storage s3://BUCKET?endpoint=HOST:PORT",
		Short:   "Create the bucket unless it is there",
		Example: "  ddpmctl bucket create --storage 's3://ddpm?endpoint=minio:9000&insecure=true' --wait 2m",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := storage.Canonical(uri); err != nil {
				return usageError{fmt.Errorf("--storage: %w", err)}
			}
			if wait <= 0 {
				return usageError{fmt.Errorf("--wait %v: must be longer than 0", wait)}
			}
			ctx, cancel := context.WithTimeout(c.Context(), wait)
			defer cancel()
			made, err := storage.MakeBucket(ctx, uri)
			if err != nil {
				return err
			}
			what := "is there"
			if made {
				what = "created"
			}
			_, err = fmt.Fprintf(stdout, "%s: %s\n", uri, what)
			return err
		},
	}
	create.Flags().StringVar(&uri, "storage", "", "s3://bucket/prefix?endpoint=HOST:PORT (needed); a folder needs nothing")
	create.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for a server that does not answer yet")
	c.AddCommand(create)
	return c
}
