#!/usr/bin/env bash
# Fails where generated code is not what its sources generate now. It generates in
# a copy and compares, so it tells the truth about a tree with other changes too,
# and changes nothing. `make generated` puts the tools into PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R proto "$copy/proto"
cp -R ddpm/kernel "$copy/kernel"

# What was generated goes first: a file that nothing generates any more must show.
find "$copy/proto" -name '*.pb.go' -delete
rm -f "$copy"/kernel/kernel_amd64.s "$copy"/kernel/kernel_stubs_amd64.go

(cd "$copy/proto" && buf generate)
(cd "$copy/kernel" && go generate ./dispatch_amd64.go)

stale=0
diff -r proto "$copy/proto" || stale=1
diff -r ddpm/kernel "$copy/kernel" || stale=1
if [ "$stale" = 1 ]; then
  echo "generated code is stale (the lines with > are what it should be): run make generate and commit" >&2
  exit 1
fi
