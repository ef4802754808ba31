#!/usr/bin/env bash
# Builds a release in two places, the second time with an empty build cache, and
# fails unless all archives are the same bytes. Then it starts what runs here: this
# machine's own binaries, and those of another architecture where qemu-user is
# installed, which must also train to the same digest. VERSION, COMMIT and TARGETS are
# those of `make release`; minutes for every target.
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

echo '# what starts here'
# Prints the command that runs binaries of an architecture: none is needed for our own.
emulator() {
  if [ "$1" = "$(go env GOHOSTARCH)" ]; then return; fi
  local machine
  case $1 in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) return 1 ;;
  esac
  command -v "qemu-$machine-static" || command -v "qemu-$machine"
}
# Trains with binaries of a folder, each process started by itself: under an emulator one
# can't start the other. What the coordinator says goes to $elsewhere/said.
train() {
  local folder=$1 data=$2 emulator=$3 port=$((20000 + RANDOM % 10000)) coordinator
  # shellcheck disable=SC2086 # no emulator is no word
  $emulator "$folder/ddpm-coordinator" --insecure --listen="127.0.0.1:$port" --workers=1 --preset=tiny --steps=3 \
    --data-dir="$data" >"$elsewhere/said" 2>"$elsewhere/log" &
  coordinator=$!
  # shellcheck disable=SC2086
  if ! $emulator "$folder/ddpm-worker" --insecure --join="127.0.0.1:$port" --wait=1m 2>>"$elsewhere/log" || ! wait "$coordinator"; then
    kill "$coordinator" 2>/dev/null || true
    cat "$elsewhere/log" >&2
    return 1
  fi
}
want=
for target in $TARGETS; do
  if [ "${target%/*}" != "$(go env GOHOSTOS)" ] || ! emulator=$(emulator "${target#*/}"); then
    echo "$target: not started, this machine can't run it (other architectures need qemu-user)"
    continue
  fi
  folder="$elsewhere/first/${target/\//_}"
  for command in ddpm-coordinator ddpm-worker ddpmctl; do
    # shellcheck disable=SC2086 # no emulator is no word
    said=$($emulator "$folder/$command" --version)
    if [[ $said != *"$VERSION"* ]]; then
      echo "$target: $command --version says '$said', which lacks $VERSION" >&2
      exit 1
    fi
    echo "$target: $said"
  done
  train "$folder" "$elsewhere/run-${target#*/}" "$emulator"
  said=$(<"$elsewhere/said")
  digest=$(grep -o 'sha256:[0-9a-f]*' <<<"$said" | tail -n 1)
  echo "$target: three steps end at ${digest:?the run names no digest}"
  if [ "$digest" != "${want:=$digest}" ]; then
    echo "$target: the digest is not that of the target before" >&2
    exit 1
  fi
done
