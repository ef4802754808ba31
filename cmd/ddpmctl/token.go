package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// tokenFlags are those of all commands about tokens.
type tokenFlags struct {
	admin  administrator
	json   bool
	stdout io.Writer
}

func tokenCommand(stdout io.Writer) *cobra.Command {
	f := &tokenFlags{stdout: stdout}
	c := &cobra.Command{
		Use: "token",
		Example: "  ddpmctl token create --ttl 1h --description 'for the night'\n" +
			"  ddpmctl token list --config ddpm-data/admin.conf",
		Short: "Make, list and revoke the tokens that let workers in",
		Long: "Asks the coordinator, as the administrator that the file of --config names.\n" +
			"The coordinator writes that file to its data dir when it starts: admin.conf.",
		Args: ownCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.admin.flags(c.PersistentFlags())
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
	c.AddCommand(f.createCommand(), f.listCommand(), f.revokeCommand())
	return c
}

func (f *tokenFlags) createCommand() *cobra.Command {
	var ttl time.Duration
	var description string
	c := &cobra.Command{
		Use:     "create",
		Short:   "Make a token and print the command that a worker joins by",
		Example: "  ddpmctl token create --ttl 1h --description 'for the night'",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if ttl < time.Second {
				return usageError{fmt.Errorf("--ttl %s: must be at least 1s", ttl)}
			}
			return f.ask(c.Context(), func(ctx context.Context, server string, t ddpmv1.TokensClient) error {
				r, err := t.CreateToken(ctx, &ddpmv1.CreateTokenRequest{TtlSeconds: uint64(ttl / time.Second), Description: description})
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(f.stdout, struct {
						Token  string `json:"token"`
						CAHash string `json:"ca_hash"`
						Server string `json:"server"`
						tokenLine
					}{r.GetToken(), r.GetCaHash(), server, line(r.GetRecord())})
				}
				_, err = fmt.Fprintf(f.stdout, "ddpm-worker --join %s --token %s --ca-hash %s\n", server, r.GetToken(), r.GetCaHash())
				return err
			})
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", access.TokenLife, "how long it lets workers in")
	c.Flags().StringVar(&description, "description", "", "what it is for, to people")
	return c
}

func (f *tokenFlags) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Example: "  ddpmctl token list --json",
		Short:   "List the tokens; their secrets are nowhere kept",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.ask(c.Context(), func(ctx context.Context, _ string, t ddpmv1.TokensClient) error {
				r, err := t.ListTokens(ctx, &ddpmv1.ListTokensRequest{})
				if err != nil {
					return err
				}
				lines := make([]tokenLine, len(r.GetTokens()))
				for i, k := range r.GetTokens() {
					lines[i] = line(k)
				}
				if f.json {
					return printJSON(f.stdout, lines)
				}
				w := tabwriter.NewWriter(f.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tSTATE\tEXPIRES\tDESCRIPTION")
				for _, l := range lines {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.ID, l.State, l.Expires.Local().Format(time.DateTime), l.Description)
				}
				return w.Flush()
			})
		},
	}
}

func (f *tokenFlags) revokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Example: "  ddpmctl token revoke abcdef",
		Short:   "Let nobody in by a token any more, and renew no certificate that was given for it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("give the id of one token, which is what stands before its dot; see ddpmctl token list")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return f.ask(c.Context(), func(ctx context.Context, _ string, t ddpmv1.TokensClient) error {
				if _, err := t.RevokeToken(ctx, &ddpmv1.RevokeTokenRequest{Id: args[0]}); err != nil {
					return err
				}
				if f.json {
					return printJSON(f.stdout, map[string]string{"revoked": args[0]})
				}
				_, err := fmt.Fprintf(f.stdout, "revoked token %s\n", args[0])
				return err
			})
		},
	}
}

// ask calls the coordinator as the administrator of the file.
func (f *tokenFlags) ask(ctx context.Context, do func(context.Context, string, ddpmv1.TokensClient) error) error {
	return f.admin.ask(ctx, func(ctx context.Context, server string, conn *grpc.ClientConn) error {
		return do(ctx, server, ddpmv1.NewTokensClient(conn))
	})
}

// tokenLine is a token as it is listed.
type tokenLine struct {
	ID          string    `json:"id"`
	State       string    `json:"state"` // valid, expired, revoked
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	Description string    `json:"description,omitempty"`
}

func line(t *ddpmv1.Token) tokenLine {
	l := tokenLine{t.GetId(), "valid", t.GetCreated().AsTime(), t.GetExpires().AsTime(), t.GetDescription()}
	switch {
	case t.GetRevoked():
		l.State = "revoked"
	case !time.Now().Before(l.Expires):
		l.State = "expired"
	}
	return l
}
