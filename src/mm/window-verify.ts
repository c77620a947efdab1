// The recount of windows, for verify(): the entries that link a process's tables to a region's, and who shares a host mm.
import type { Mm } from "./mm.ts";
import type { MemoryManager } from "./memory-manager.ts";
import type { Window } from "./vma.ts";

export class WindowCheck {
  readonly #links = new Map<Window, number>();

  /** An entry for [va, va + size) of `mm` points at a table of `owner`: false if no window allows that. */
  countLink(mm: Mm, va: number, size: number, owner: Mm): boolean {
    for (const { window, startGap, endGap } of mm.vmas) {
      if (window === null || window.dead || window.tables !== owner || !window.shared) continue;
      if (va < startGap || va + size > endGap) continue;
      this.#links.set(window, (this.#links.get(window) ?? 0) + 1);
      return true;
    }
    return false;
  }

  /** What does not add up, a line each; after all tables have been walked. */
  problems(memory: MemoryManager): string[] {
    const problems: string[] = [];
    const sharers = new Map<Mm, Set<Mm>>();
    for (const mm of memory.mms)
      for (const { window, start } of mm.vmas) {
        if (window === null) continue;
        const at = `mm ${mm.id}: window at ${start.toString(16)}`;
        const found = this.#links.get(window) ?? 0;
        if (!window.dead && window.links !== found) problems.push(`${at} counts ${window.links} links, has ${found}`);
        if (!window.dead && !window.host.sharers.has(mm)) problems.push(`${at} is not known to mm ${window.host.id}`);
        if (!window.dead) sharers.set(window.host, (sharers.get(window.host) ?? new Set()).add(mm));
      }
    for (const host of memory.mms)
      for (const mm of host.sharers)
        if (!memory.mms.has(mm)) problems.push(`mm ${host.id} is shared by mm ${mm.id}, which is gone`);
        else if (sharers.has(host) && !sharers.get(host)!.has(mm))
          problems.push(`mm ${host.id} is shared by mm ${mm.id}, which has no window on it`);
    return problems;
  }
}
