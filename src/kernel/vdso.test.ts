// The vDSO as a dynamic linker sees it: found through program headers and the dynamic section only, by name, hash and version (System V ABI,
// "Hash Table"; LSB, "Symbol Versioning"). The instructions of the trampoline are those that unwinders compare with.
import { expect, test } from "vitest";
import { buildVdso } from "./vdso.ts";

const { image, sigreturn } = buildVdso();
const v = new DataView(image.buffer);
const u32 = (at: number): number => v.getUint32(at, true);
const u64 = (at: number): number => Number(v.getBigUint64(at, true));
const text = (at: number): string => String.fromCharCode(...image.subarray(at, image.indexOf(0, at)));

/** The System V hash, written down from the ABI's C text. */
function sysvHash(name: string): number {
  let h = 0n;
  for (const c of name) {
    h = (h << 4n) + BigInt(c.charCodeAt(0));
    const g = h & 0xf0000000n;
    if (g) h ^= g >> 24n;
    h &= ~g & 0xffffffffn;
  }
  return Number(h);
}

const segments = Array.from({ length: v.getUint16(56, true) }, (_, i) => u64(32) + i * v.getUint16(54, true));
const dynamic = new Map<number, number>();
for (let at = u64(segments.find((p) => u32(p) === 2)! + 8); u64(at) !== 0; at += 16) dynamic.set(u64(at), u64(at + 8));
const [DT_HASH, DT_STRTAB, DT_SYMTAB, DT_SONAME] = [4, 5, 6, 14].map((tag) => dynamic.get(tag)!);
const [DT_VERSYM, DT_VERDEF] = [0x6ffffff0, 0x6ffffffc].map((tag) => dynamic.get(tag)!);

/** Looks a name up through the hash table. */
function find(name: string): { value: number; version: number } | undefined {
  const buckets = u32(DT_HASH);
  const chain = DT_HASH + 8 + 4 * buckets;
  for (let i = u32(DT_HASH + 8 + 4 * (sysvHash(name) % buckets)); i !== 0; i = u32(chain + 4 * i)) {
    const symbol = DT_SYMTAB + 24 * i;
    if (text(DT_STRTAB + u32(symbol)) !== name) continue;
    return { value: u64(symbol + 8), version: v.getUint16(DT_VERSYM + 2 * i, true) };
  }
  return undefined;
}

/** Index and name of each version that it defines. */
function versions(): Map<number, string> {
  const found = new Map<number, string>();
  for (let at = DT_VERDEF; ; at += u32(at + 16)) {
    const name = text(DT_STRTAB + u32(at + u32(at + 12)));
    expect(u32(at + 8)).toBe(sysvHash(name));
    found.set(v.getUint16(at + 4, true), name);
    if (u32(at + 16) === 0) return found;
  }
}

test("it is a shared object for riscv64 that one read-execute segment holds", () => {
  expect([...image.subarray(0, 7)]).toEqual([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  expect([v.getUint16(16, true), v.getUint16(18, true)]).toEqual([3, 243]);
  const load = segments.find((p) => u32(p) === 1)!;
  expect([u32(load + 4), u64(load + 8), u64(load + 16)]).toEqual([5, 0, 0]);
  expect(u64(load + 32)).toBeLessThanOrEqual(image.length);
  expect(text(DT_STRTAB + DT_SONAME)).toBe("linux-vdso.so.1");
});

// Numbers of the calls: include/uapi/asm-generic/unistd.h, arch/riscv/include/uapi/asm/unistd.h.
test.each([
  ["__vdso_gettimeofday", 169],
  ["__vdso_clock_gettime", 113],
  ["__vdso_clock_getres", 114],
  ["__vdso_getcpu", 168],
  ["__vdso_flush_icache", 259],
])("%s loads %d into a7, calls and returns", (name, nr) => {
  const symbol = find(name)!;
  expect(versions().get(symbol.version)).toBe("LINUX_4.15");
  expect([0, 4, 8].map((at) => u32(symbol.value + at))).toEqual([0x00000893 | (nr << 20), 0x00000073, 0x00008067]);
});

test("a signal handler returns through li a7, 139; ecall", () => {
  expect(find("__vdso_rt_sigreturn")!.value).toBe(sigreturn);
  expect([u32(sigreturn), u32(sigreturn + 4)]).toEqual([0x08b00893, 0x00000073]);
  expect(find("__vdso_nothing")).toBe(undefined);
});
