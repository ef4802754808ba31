#!/usr/bin/env bash
# Writes what the commands say of themselves into a folder: cli.md, configuration.md.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?give the folder to write into}

{
  cat <<'END'
# Commands

*Generated from the code by `make reference`.*

Three programs: `ddpm-coordinator` owns a run, `ddpm-worker` computes, `ddpmctl` is the
user's tool. Each says the same by `--help`, and its version by `--version`; an error is
one line on standard error, with what to do.

Exit codes: 0 is success, also where an interrupt ended a run with its checkpoint, or a
worker politely; 1 a failure; 2 a mistake in how the command was called; 130 an interrupt
that ended a command before it had done its work, such as a coordinator that waited for
workers, or one that hands its run over.

For completion in a shell, and for man pages:

```sh
source <(ddpmctl completion bash)     # or zsh, fish, powershell; the other two have it as well
ddpmctl man man1                      # a page for each command; archives of a release have them
```
END
  for command in ddpm-coordinator ddpm-worker ddpmctl; do
    go run "./cmd/$command" markdown
  done
} >"$out/cli.md"
go run ./cmd/ddpm-coordinator configuration >"$out/configuration.md"
