package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

const (
	// adminVariable names the admin.conf where --config does not.
	adminVariable = "DDPM_ADMIN"
	defaultAdmin  = "ddpm-data/admin.conf"
	adminUsage    = "the administrator's file (default: $" + adminVariable + ", else " + defaultAdmin + ")"
	// answerLimit bounds how long a coordinator may take to answer.
	answerLimit = 15 * time.Second
)

// asAdmin connects to the coordinator as the administrator of a file; "" is the usual
// one.
func asAdmin(path string, do func(*access.Admin, *grpc.ClientConn) error) error {
	if path == "" {
		path = os.Getenv(adminVariable)
	}
	if path == "" {
		path = defaultAdmin
	}
	admin, err := access.ReadAdmin(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	conn, err := grpc.NewClient("passthrough:///"+admin.Server, grpc.WithNoProxy(),
		grpc.WithTransportCredentials(credentials.NewTLS(admin.Credential.Client(pki.Coordinator, ""))))
	if err != nil {
		return fmt.Errorf("dial %s: %w", admin.Server, err)
	}
	defer conn.Close()
	return do(admin, conn)
}

// answered makes a call that is bounded in time, and says who gave a bad answer.
func answered(ctx context.Context, server string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	err := call(ctx)
	if s, ok := status.FromError(err); ok && err != nil {
		return fmt.Errorf("the coordinator at %s: %s", server, s.Message())
	}
	return err
}
