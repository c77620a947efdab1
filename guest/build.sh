#!/usr/bin/env bash
# build.sh [DIRECTORY]: builds the programs that ship (guest/src/*.c, linked with guest/lib) into DIRECTORY, default guest/bin, and their
# manifest there: the compiler's version and one hash of all that they are made from, so that CI can tell whether they are up to date.
# `npm run guest`. Needs Debian's gcc-riscv64-linux-gnu and libc6-dev-riscv64-cross (headers only).
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-bin}
cc=${CC:-riscv64-linux-gnu-gcc}
command -v "$cc" >/dev/null || { echo "build.sh: $cc is missing (apt-get install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross)" >&2; exit 2; }
flags="-std=gnu11 -Os -Wall -Wextra -Werror -static -nostdlib -ffreestanding -fno-tree-loop-distribute-patterns -fno-stack-protector -fno-asynchronous-unwind-tables
  -ffunction-sections -fdata-sections -U_FORTIFY_SOURCE -Iinclude -Wl,--gc-sections,--build-id=none,-z,noexecstack -s"
mkdir -p "$out"
for source in src/*.c; do
  # shellcheck disable=SC2086
  "$cc" $flags -o "$out/$(basename "$source" .c)" lib/start.c "$source" lib/syscall.c lib/stdio.c lib/string.c lib/setjmp.c -lgcc
done
{
  echo "compiler $("$cc" --version | head -1)"
  echo "sources $(cat build.sh include/*.h lib/*.c src/*.c | sha256sum | cut -d' ' -f1)"
  (cd "$out" && for program in *; do [ "$program" = MANIFEST ] || sha256sum "$program"; done)
} >"$out/MANIFEST"
