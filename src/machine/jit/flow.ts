// Control and data flow of a region: order, dominators, loops, the longest path between budget checks, liveness, and which registers are
// words (words.ts) where. Pure analysis of the blocks that discover.ts found.
import type { Block, Edge, Line } from "./discover.ts";
import { chooseMemos } from "./memos.ts";
import { givesWord } from "./words.ts";

/** Sets of registers: bit i of `x` for x[i], of `f` for f[i]. */
export interface Registers {
  x: number;
  f: number;
}

/** A block and what is known of it. (A class: V8 makes those much faster than literals with so many properties.) */
export class Node {
  readonly block: Block;
  /** Place in reverse postorder. */
  order = 0;
  readonly successors: Node[] = [];
  readonly predecessors: Node[] = [];
  dominator: Node | undefined = undefined;
  readonly children: Node[] = [];
  isLoop = false;
  /** More than one way in, loop edges not counted. */
  isMerge = false;
  /** The most instructions from here until the next budget check or exit. */
  longest = 0;
  liveIn: Registers = { x: 0, f: 0 };
  /** Registers kept as words (x: i32) or singles (f: f32) on entry. */
  wordsIn: Registers = { x: -1, f: -1 };
  /** Registers whose locals may differ from memory on entry. */
  dirtyIn: Registers = { x: 0, f: 0 };
  /** Not live and clean on entry to this loop: every way in stores them. */
  flushed: Registers = { x: 0, f: 0 };
  /** Registers that the block reads before it writes them, and those that it writes. */
  readonly uses: Registers = { x: 0, f: 0 };
  readonly defines: Registers = { x: 0, f: 0 };

  constructor(block: Block) {
    this.block = block;
    const { uses, defines } = this;
    for (const { reads, writes, fReads, fWrites } of block.lines) {
      uses.x |= reads & ~defines.x;
      uses.f |= fReads & ~defines.f;
      defines.x |= writes;
      defines.f |= fWrites;
    }
  }
}

export interface Flow {
  readonly root: Node;
  /** In reverse postorder. */
  readonly nodes: readonly Node[];
  readonly nodeOf: ReadonlyMap<Block, Node>;
  /** All registers that some block reads before it writes them, and all that are written. */
  readonly reads: Registers;
  readonly writes: Registers;
  readonly instructions: number;
  /** The loads and stores that remember the last page: which memory of one they use (memos.ts). */
  readonly memos: ReadonlyMap<Line, number>;
}

export interface FlowOptions {
  /** Registers that may be guarded to be words at the root: those that hold one when the region is compiled. */
  readonly guards: Registers;
  /** The most instructions of a region beside the loop that it is. */
  readonly straight: number;
}

/** Loops that dirty more registers than this store the dead ones at each turn instead of carrying them. */
const CARRIED = 10;

export const edgesOf = (block: Block): Edge[] => {
  const { ending } = block;
  switch (ending.kind) {
    case "jump":
      return [ending.next];
    case "branch":
      return [ending.next, ending.taken];
    case "indirect":
      return ending.expected;
    default:
      return [];
  }
};

const count = (bits: number): number => {
  let n = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) n++;
  return n;
};

/** Updates the set of words after an instruction. */
function transferWords({ d, facts: known, writes, fWrites }: Line, words: Registers): void {
  if (writes !== 0) {
    if (givesWord(d, words.x)) words.x |= writes;
    else words.x &= ~writes;
  }
  if (fWrites !== 0) {
    if (known.givesSingle) words.f |= fWrites;
    else words.f &= ~fWrites;
  }
}

function makeNodes(root: Block): { nodes: Node[]; nodeOf: Map<Block, Node> } {
  const nodeOf = new Map<Block, Node>();
  const postorder: Node[] = [];
  const visit = (block: Block): Node => {
    const made = new Node(block);
    nodeOf.set(block, made);
    for (const edge of edgesOf(block)) {
      if (edge.block && !nodeOf.has(edge.block)) visit(edge.block);
    }
    postorder.push(made);
    return made;
  };
  visit(root);
  const nodes = postorder.reverse();
  nodes.forEach((n, order) => (n.order = order));
  return { nodes, nodeOf };
}

function connect(nodes: readonly Node[], nodeOf: ReadonlyMap<Block, Node>): void {
  for (const n of nodes) {
    n.successors.length = 0;
    n.predecessors.length = 0;
    n.children.length = 0;
    n.dominator = undefined;
  }
  for (const n of nodes) {
    for (const edge of edgesOf(n.block)) {
      if (!edge.block) continue;
      const to = nodeOf.get(edge.block)!;
      n.successors.push(to);
      to.predecessors.push(n);
    }
  }
}

/** Cooper, Harvey and Kennedy's iteration. */
function findDominators(nodes: readonly Node[]): void {
  const [root] = nodes;
  root.dominator = root;
  const meet = (a: Node, b: Node): Node => {
    while (a !== b) {
      while (a.order > b.order) a = a.dominator!;
      while (b.order > a.order) b = b.dominator!;
    }
    return a;
  };
  for (let changed = true; changed;) {
    changed = false;
    for (const n of nodes) {
      if (n === root) continue;
      let dominator: Node | undefined;
      for (const p of n.predecessors) if (p.dominator) dominator = dominator ? meet(dominator, p) : p;
      if (n.dominator !== dominator) {
        n.dominator = dominator;
        changed = true;
      }
    }
  }
}

const dominates = (a: Node, b: Node): boolean => {
  for (let at = b; ; at = at.dominator!) {
    if (at === a) return true;
    if (at.dominator === at) return false;
  }
};

/** Makes edges back into something that is not a loop's head leave the region instead. True if there were any. */
function cutIrreducible(nodes: readonly Node[], nodeOf: ReadonlyMap<Block, Node>): boolean {
  let cut = false;
  for (const n of nodes) {
    redirect(n.block, (edge) => {
      const to = edge.block && nodeOf.get(edge.block);
      if (!to || to.order > n.order || dominates(to, n)) return true;
      cut = true;
      return false;
    });
  }
  return cut;
}

function shape(nodes: readonly Node[]): void {
  for (const n of nodes) {
    if (n.dominator !== n) n.dominator!.children.push(n);
    n.isLoop = n.predecessors.some((p) => p.order >= n.order);
    n.isMerge = n.predecessors.filter((p) => p.order < n.order).length > 1;
  }
  for (let i = nodes.length - 1; i >= 0; i--) {
    const n = nodes[i];
    let rest = 0;
    for (const s of n.successors) if (s.order > n.order && !s.isLoop) rest = Math.max(rest, s.longest);
    n.longest = n.block.lines.length + rest;
  }
}

function findLiveness(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (let i = nodes.length - 1; i >= 0; i--) {
      const n = nodes[i];
      const out = { x: 0, f: 0 };
      for (const s of n.successors) {
        out.x |= s.liveIn.x;
        out.f |= s.liveIn.f;
      }
      const { uses, defines } = n;
      const x = uses.x | (out.x & ~defines.x);
      const f = uses.f | (out.f & ~defines.f);
      if (x !== n.liveIn.x || f !== n.liveIn.f) {
        n.liveIn = { x, f };
        changed = true;
      }
    }
  }
}

/** Forward and optimistic: a register is a word where it is one on every way in. */
function findWords(nodes: readonly Node[], options: FlowOptions): void {
  const [root] = nodes;
  const { guards } = options;
  root.wordsIn = root.isLoop ? { x: root.liveIn.x & guards.x, f: root.liveIn.f & guards.f } : { x: 0, f: 0 };
  for (let changed = true; changed;) {
    changed = false;
    for (const n of nodes) {
      const out = { ...n.wordsIn };
      for (const line of n.block.lines) transferWords(line, out);
      for (const s of n.successors) {
        const x = s.wordsIn.x & out.x;
        const f = s.wordsIn.f & out.f;
        if (x !== s.wordsIn.x || f !== s.wordsIn.f) {
          s.wordsIn = { x, f };
          changed = true;
        }
      }
    }
  }
}

function findDirty(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const n of nodes) {
      const out = { x: n.dirtyIn.x | n.defines.x, f: n.dirtyIn.f | n.defines.f };
      for (const s of n.successors) {
        const x = (s.dirtyIn.x | out.x) & ~s.flushed.x;
        const f = (s.dirtyIn.f | out.f) & ~s.flushed.f;
        if (x !== s.dirtyIn.x || f !== s.dirtyIn.f) {
          s.dirtyIn = { x, f };
          changed = true;
        }
      }
    }
  }
}

/** Large loops store what is dead at their head rather than carry it around. */
function chooseFlushes(nodes: readonly Node[]): void {
  findDirty(nodes);
  for (const n of nodes) {
    if (!n.isLoop || count(n.dirtyIn.x) + count(n.dirtyIn.f) <= CARRIED) continue;
    n.flushed = { x: n.dirtyIn.x & ~n.liveIn.x, f: n.dirtyIn.f & ~n.liveIn.f };
  }
  for (const n of nodes) n.dirtyIn = { x: 0, f: 0 };
  findDirty(nodes);
}

/**
 * Keeps of a region that is a loop what leads back to the root, and of what comes after it, or of a region that is none, the nearest
 * `straight` instructions. The rest gets regions of its own when it is hot.
 */
function trim(root: Block, straight: number): void {
  const { nodes, nodeOf } = makeNodes(root);
  connect(nodes, nodeOf);
  const kept = new Set<Node>();
  const queue = nodes[0].predecessors.length > 0 ? [nodes[0]] : [];
  for (const n of queue) {
    if (kept.has(n)) continue;
    kept.add(n);
    queue.push(...n.predecessors);
  }
  // Then what comes after the loop, or after the root, nearest first.
  let instructions = 0;
  const nearest = kept.size === 0 ? [nodes[0]] : [...kept].flatMap((n) => n.successors);
  for (const n of nearest) {
    if (kept.has(n) || (n !== nodes[0] && instructions + n.block.lines.length > straight)) continue;
    kept.add(n);
    instructions += n.block.lines.length;
    nearest.push(...n.successors);
  }
  for (const n of nodes) redirect(n.block, (edge) => !edge.block || kept.has(nodeOf.get(edge.block)!));
}

/** Makes the edges that `keep` rejects leave the region. */
function redirect(block: Block, keep: (edge: Edge) => boolean): void {
  const out = (edge: Edge): Edge => (keep(edge) ? edge : { block: undefined, pc: edge.pc });
  const { ending } = block;
  if (ending.kind === "jump") ending.next = out(ending.next);
  else if (ending.kind === "branch") {
    ending.next = out(ending.next);
    ending.taken = out(ending.taken);
  } else if (ending.kind === "indirect") ending.expected = ending.expected.map(out);
}

export function analyze(rootBlock: Block, options: FlowOptions): Flow {
  trim(rootBlock, options.straight);
  const { nodes, nodeOf } = makeNodes(rootBlock);
  connect(nodes, nodeOf);
  findDominators(nodes);
  while (cutIrreducible(nodes, nodeOf)) {
    connect(nodes, nodeOf);
    findDominators(nodes);
  }
  shape(nodes);
  findLiveness(nodes);
  findWords(nodes, options);
  chooseFlushes(nodes);
  const reads = { x: 0, f: 0 };
  const writes = { x: 0, f: 0 };
  let instructions = 0;
  for (const { block, uses, defines } of nodes) {
    instructions += block.lines.length;
    reads.x |= uses.x;
    reads.f |= uses.f;
    writes.x |= defines.x;
    writes.f |= defines.f;
  }
  return { root: nodes[0], nodes, nodeOf, reads, writes, instructions, memos: chooseMemos(nodes.map((n) => n.block)) };
}
