#!/usr/bin/env bash
# Builds a release in two places, the second time with an empty build cache, and
# fails unless all archives are the same bytes. VERSION, COMMIT and TARGETS are those
# of `make release`; minutes for every target.
set -euo pipefail
cd "$(dirname "$0")/.."

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
build() { go run ./internal/release -version "$VERSION" -commit "${COMMIT:-}" -targets "$TARGETS" -out "$1"; }

echo '# here'
build "$elsewhere/first"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' name; do
  if [ -f "$name" ] && [ ! -L "$name" ]; then
    mkdir -p "$elsewhere/copy/$(dirname "$name")"
    cp -p "$name" "$elsewhere/copy/$name"
  fi
done
echo '# in a copy, with an empty cache'
(cd "$elsewhere/copy" && GOCACHE="$elsewhere/cache" build "$elsewhere/second")
diff "$elsewhere/first/SHA256SUMS" "$elsewhere/second/SHA256SUMS"
echo 'both builds are the same bytes'
