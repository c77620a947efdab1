// Moves the start of loops to where a region has least to carry from one turn into the next. An exit stores every register that has been written, also
// those that nothing reads any more, as a signal handler or a debugger may: hashes leave ten such behind in each turn. Changes blocks, before flow.ts
// analyzes them for good.
import { type Block, mapEdges } from "./discover.ts";
import type { Node } from "./flow.ts";

/** Instructions that are done before a loop and again at the end of each turn, at most. */
const MAX_TURNED = 12;
/** Registers that a turn writes and the next one does not read: so many, and a loop is turned. Measured: SHA-256 1.2 times as fast; with 3, others were slower. */
const MIN_LEFT_BEHIND = 6;

/** Loops of which each turn leaves much behind that is only there to be stored by an exit in the next one. */
const leavingMuch = (nodes: readonly Node[]): Node[] =>
  nodes.filter(({ isLoop, written, liveIn }) => isLoop && count(written & ~liveIn.x) >= MIN_LEFT_BEHIND);

function count(set: number): number {
  let n = 0;
  for (; set !== 0; set &= set - 1) n++;
  return n;
}

/** Makes the loop's turns go to `again` instead of to its first block. `rests`: the second parts of blocks that are in two by now. */
function turnTo(again: Block, { block: first, predecessors, order }: Node, rests?: ReadonlyMap<Block, Block>): void {
  for (const p of predecessors) if (p.order >= order) retarget(rests?.get(p.block) ?? p.block, first, again);
}

/**
 * A loop that begins with some instructions and then the start of another loop: the turns of both begin at the latter. (V8 would begin two loops at
 * each turn.) True if there were any.
 */
export function joinLoops(nodes: readonly Node[], nodeOf: ReadonlyMap<Block, Node>): boolean {
  const joined = leavingMuch(nodes).filter(({ block }) => {
    const { lines, ending } = block;
    return (
      lines.length <= MAX_TURNED &&
      ending.kind === "jump" &&
      ending.next.block &&
      ending.next.block !== block &&
      nodeOf.get(ending.next.block)!.isLoop
    );
  });
  for (const n of joined) {
    const { pc, context, lines, ending } = n.block;
    turnTo({ pc, context, lines, ending: { ...ending }, predecessors: [] }, n);
  }
  return joined.length > 0;
}

/**
 * Turns loops so that they begin behind what their first block may leave at: that is done once before the loop, and then where a turn ends. There all
 * that the turn has written is at hand for an exit, and need not be carried into the next one. True if there were any.
 */
export function turnLoops(nodes: readonly Node[]): boolean {
  const rests = new Map<Block, Block>();
  for (const n of leavingMuch(nodes)) {
    const { block: first } = n;
    const { lines, pc, context } = first;
    const at =
      lines.slice(0, MAX_TURNED).findLastIndex(({ facts }) => facts.access !== undefined || facts.mayLeave) + 1;
    if (at === 0 || at === lines.length) continue;
    const rest: Block = { pc: lines[at].pc, context, lines: lines.slice(at), ending: first.ending, predecessors: [] };
    const again: Block = { pc, context, lines: lines.slice(0, at), ending: toNext(rest), predecessors: [] };
    rests.set(first, rest);
    turnTo(again, n, rests);
    first.lines = again.lines;
    first.ending = toNext(rest);
  }
  return rests.size > 0;
}

const toNext = (block: Block): Block["ending"] => ({ kind: "jump", next: { block, pc: block.pc } });

const retarget = (block: Block, from: Block, to: Block): void =>
  mapEdges(block, (edge) => (edge.block === from ? { block: to, pc: edge.pc } : edge));
