// For randomized tests: which seeds they run with. A test must hold for any; fresh ones are asked for in the environment (docs/hacking.md).

/** `count` seeds from 1 on; MSHARE_`name`_SEEDS says how many others, MSHARE_`name`_SEED where they begin. */
export function seedsOf(name: string, count: number): number[] {
  const { env } = process;
  const first = Number(env[`MSHARE_${name}_SEED`] ?? 1);
  return Array.from({ length: Number(env[`MSHARE_${name}_SEEDS`] ?? count) }, (_, i) => first + i);
}
