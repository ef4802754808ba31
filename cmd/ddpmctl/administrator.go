package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

const (
	// adminVariable names the admin.conf where --config does not.
	adminVariable = "DDPM_ADMIN"
	defaultAdmin  = "ddpm-data/admin.conf"
	// answerLimit bounds how long a coordinator may take to answer.
	answerLimit = 15 * time.Second
)

// administrator is how a command reaches a coordinator.
type administrator struct {
	config string
	// join is HOST:PORT instead of the file's.
	join     string
	insecure bool
}

// flags are those of every command that asks a coordinator.
func (a *administrator) flags(fs *pflag.FlagSet) {
	fs.StringVar(&a.config, "config", "", "the administrator's `FILE` (default: $"+adminVariable+", else "+defaultAdmin+")")
}

// joinFlags are those of commands that also ask coordinators without TLS.
func (a *administrator) joinFlags(fs *pflag.FlagSet) {
	a.flags(fs)
	fs.StringVar(&a.join, "join", "", "the coordinator's `HOST:PORT` (default: the one in the administrator's file)")
	fs.BoolVar(&a.insecure, "insecure", false, "without TLS; for a --join on this machine whose coordinator is --insecure too")
}

// asked says that a flag names a coordinator.
func (a *administrator) asked() bool { return a.config != "" || a.join != "" || a.insecure }

// reach finds the coordinator's address and how to speak to it.
func (a *administrator) reach() (server string, c credentials.TransportCredentials, err error) {
	if a.join != "" {
		if _, _, err := net.SplitHostPort(a.join); err != nil {
			return "", nil, usageError{fmt.Errorf("--join %q is not HOST:PORT", a.join)}
		}
	}
	if a.insecure {
		if a.config != "" || !config.Loopback(a.join) {
			return "", nil, usageError{fmt.Errorf("--insecure: needs a --join on this machine (127.0.0.1, ::1, localhost), and no --config")}
		}
		return a.join, insecure.NewCredentials(), nil
	}
	path := a.config
	if path == "" {
		path = os.Getenv(adminVariable)
	}
	if path == "" {
		path = defaultAdmin
	}
	admin, err := access.ReadAdmin(path)
	if err != nil {
		return "", nil, fmt.Errorf("--config: %w", err)
	}
	server = admin.Server
	if a.join != "" {
		server = a.join
	}
	return server, credentials.NewTLS(admin.Credential.Client(pki.Coordinator, "")), nil
}

// connect makes a connection, which is used for as long as the caller likes.
func (a *administrator) connect() (server string, conn *grpc.ClientConn, err error) {
	server, security, err := a.reach()
	if err != nil {
		return "", nil, err
	}
	conn, err = grpc.NewClient("passthrough:///"+server, grpc.WithNoProxy(), grpc.WithTransportCredentials(security))
	if err != nil {
		return "", nil, fmt.Errorf("dial %s: %w", server, err)
	}
	return server, conn, nil
}

// ask calls the coordinator once.
func (a *administrator) ask(ctx context.Context, do func(ctx context.Context, server string, conn *grpc.ClientConn) error) error {
	server, conn, err := a.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return said(server, do(ctx, server, conn))
}

// said is an error of the coordinator's without grpc's words.
func said(server string, err error) error {
	if s, ok := status.FromError(err); ok && err != nil {
		if s.Code() == codes.Unavailable {
			return fmt.Errorf("the coordinator at %s: %s; check that it runs, and that this is its address (--config)", server, s.Message())
		}
		return fmt.Errorf("the coordinator at %s: %s", server, s.Message())
	}
	return err
}
