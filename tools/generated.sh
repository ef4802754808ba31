#!/usr/bin/env bash
# Fails where generated code or a generated page is not what its sources generate now. It generates in
# a copy and compares, so it tells the truth about a tree with other changes too,
# and changes nothing. `make generated` puts the tools into PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R proto "$copy/proto"
kernels=(ddpm/kernel ddpm/rng allreduce)
for package in "${kernels[@]}"; do
  mkdir -p "$copy/$package"
  cp -R "$package/." "$copy/$package"
done

# What was generated goes first: a file that nothing generates any more must show.
find "$copy/proto" -name '*.pb.go' -delete
for package in "${kernels[@]}"; do
  rm -f "$copy/$package"/*_amd64.s "$copy/$package"/*_stubs_amd64.go
done

(cd "$copy/proto" && buf generate)
for package in "${kernels[@]}"; do
  (cd "$copy/$package" && go generate ./*dispatch_amd64.go)
done

tools/reference.sh "$copy"

stale=0
for page in cli.md configuration.md; do
  diff "docs/$page" "$copy/$page" || stale=1
done
diff -r proto "$copy/proto" || stale=1
for package in "${kernels[@]}"; do
  diff -r "$package" "$copy/$package" || stale=1
done
if [ "$stale" = 1 ]; then
  echo "generated code is stale (the lines with > are what it should be): run make generate and commit" >&2
  exit 1
fi
