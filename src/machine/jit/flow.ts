// Control and data flow of a region: order, dominators, loops, the longest path between budget checks, liveness, and which registers are
// words (words.ts) where. Pure analysis of the blocks that discover.ts found.
import { type Block, type Edge, mapEdges } from "./discover.ts";
import type { Line } from "./line.ts";
import { joinLoops, turnLoops } from "./turn.ts";
import { type Access, type Cuts, findWindows } from "./windows.ts";

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
  readonly liveIn: Registers = { x: 0, f: 0 };
  /** Registers kept as words (x: i32) or singles (f: f32) on entry. */
  readonly wordsIn: Registers = { x: ~1, f: -1 };
  /** Registers whose locals may differ from memory on entry. */
  readonly dirtyIn: Registers = { x: 0, f: 0 };
  /** Registers whose locals must hold their values on entry: some way from here reads them, or may store them, before it writes them. */
  readonly wantedIn: Registers = { x: 0, f: 0 };
  /** Registers that the block reads before it writes them, and those that it writes. */
  readonly uses: Registers = { x: 0, f: 0 };
  readonly defines: Registers = { x: 0, f: 0 };
  /** Integer registers written in the block or below it in the tree of dominators. */
  written = 0;
  readonly accesses: Access[] = [];
  /** Registers that an exit may store as they were on entry: those that are not written before the first one. */
  readonly held: Registers = { x: 0, f: 0 };

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
  readonly instructions: number;
  /** Whether it is an inner loop and nothing else. */
  readonly isInner: boolean;
}

export interface FlowOptions {
  /** Registers that may be guarded to be words at the root: those that hold one when the region is compiled. */
  readonly guards: Registers;
  /** Whether control stays for long in the region of the inner loop that starts with a line. */
  readonly staysIn: (line: Line) => boolean;
  /** The most instructions of a region beside the loop that it is; and those after which one that is none ends where another one starts. */
  readonly straight: number;
  readonly enough: number;
  /** findWindows's. */
  readonly cuts: Cuts;
}

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

const successorsOf = (block: Block): Block[] => edgesOf(block).flatMap(({ block: to }) => to ?? []);

/** Updates the set of words after an instruction. */
function transferWords({ wordIf, writes, fWrites, facts }: Line, words: Registers): void {
  if ((wordIf & ~words.x) === 0) words.x |= writes;
  else words.x &= ~writes;
  if (fWrites === 0) return;
  if (facts.givesSingle) words.f |= fWrites;
  else words.f &= ~fWrites;
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
    n.written = n.children.reduce((all, child) => all | child.written, n.defines.x);
  }
}

function set(registers: Registers, x: number, f: number): boolean {
  if (registers.x === x && registers.f === f) return false;
  registers.x = x;
  registers.f = f;
  return true;
}

function findLiveness(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (let i = nodes.length - 1; i >= 0; i--) {
      const { successors, uses, defines, liveIn } = nodes[i];
      let [x, f] = [0, 0];
      for (const s of successors) {
        x |= s.liveIn.x;
        f |= s.liveIn.f;
      }
      changed = set(liveIn, uses.x | (x & ~defines.x), uses.f | (f & ~defines.f)) || changed;
    }
  }
}

/** Forward and optimistic: a register is a word where it is one on every way in. `isGuarded`: whether the region may be entered only with words. */
function findWords(nodes: readonly Node[], { guards }: FlowOptions, isGuarded: boolean): void {
  const [root] = nodes;
  if (isGuarded) set(root.wordsIn, root.liveIn.x & guards.x, root.liveIn.f & guards.f);
  else set(root.wordsIn, 0, 0);
  const out = { x: 0, f: 0 };
  for (let changed = true; changed;) {
    changed = false;
    for (const n of nodes) {
      set(out, n.wordsIn.x, n.wordsIn.f);
      for (const line of n.block.lines) transferWords(line, out);
      for (const { wordsIn } of n.successors) changed = set(wordsIn, wordsIn.x & out.x, wordsIn.f & out.f) || changed;
    }
  }
}

/** Whether some way out of a block leaves the region: to what is not in it, or because the budget does not last for a loop. */
function leavesAtEnd({ block, successors }: Node): boolean {
  const { kind } = block.ending;
  const isWhole = kind !== "indirect" && kind !== "interpret" && edgesOf(block).every((edge) => edge.block);
  return !isWhole || successors.some((s) => s.isLoop);
}

function findHeld(nodes: readonly Node[]): void {
  for (const n of nodes) {
    const { block, accesses, defines, held } = n;
    let [x, f, access] = [0, 0, 0];
    let leaves = false;
    for (const { facts, writes, fWrites } of block.lines) {
      leaves = facts.access ? accesses[access++].isFirst : facts.mayLeave;
      if (leaves) break;
      x |= writes;
      f |= fWrites;
    }
    if (leaves) set(held, ~x, ~f);
    else if (leavesAtEnd(n)) set(held, ~defines.x, ~defines.f);
  }
}

function findDirty(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const { dirtyIn, defines, successors } of nodes) {
      const x = dirtyIn.x | defines.x;
      const f = dirtyIn.f | defines.f;
      for (const s of successors) {
        changed = set(s.dirtyIn, s.dirtyIn.x | x, s.dirtyIn.f | f) || changed;
      }
    }
  }
}

/** Like liveness, but exits store what may be dirty. */
function findWanted(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (let i = nodes.length - 1; i >= 0; i--) {
      const { successors, uses, defines, dirtyIn, wantedIn, held } = nodes[i];
      let [x, f] = [0, 0];
      for (const s of successors) {
        x |= s.wantedIn.x;
        f |= s.wantedIn.f;
      }
      x = uses.x | (dirtyIn.x & held.x) | (x & ~defines.x);
      f = uses.f | (dirtyIn.f & held.f) | (f & ~defines.f);
      changed = set(wantedIn, x, f) || changed;
    }
  }
}

/**
 * Chooses what a region has of the blocks that were found; the rest gets regions of its own when it is hot. True if it is an inner loop and nothing else.
 *
 * If the root starts an inner loop: that loop alone. V8 keeps in registers what is used anywhere in a function, and would take them from the loop for what
 * is around it. Others leave for inner loops in which control stays for long.
 *
 * If it is a loop: what leads back to the root, and of what comes after it the nearest `straight` instructions. If it is none: what comes in any case, and if
 * that is less, the nearest `straight` instructions, or `enough`, where the next ones have a region already: else each part of a program would be in ever so many.
 */
function trim(root: Block, { straight, enough, staysIn }: FlowOptions): boolean {
  const inner = innerLoop(root);
  if (inner.size > 0) {
    keepOnly(inner);
    return true;
  }
  leaveForInnerLoops(root, staysIn);
  const kept = leadingBack(root);
  const isLoop = kept.size > 0;
  let instructions = 0;
  for (let block: Block | undefined = root; block && !kept.has(block); block = sureNext(block)) {
    kept.add(block);
    instructions += block.lines.length;
  }
  // Then what comes after that, nearest first.
  const nearest = [...kept].flatMap(successorsOf);
  for (const block of nearest) {
    const { lines } = block;
    if (kept.has(block) || instructions + lines.length > straight) continue;
    if (!isLoop && instructions >= enough && lines[0].isRoot) continue;
    kept.add(block);
    instructions += lines.length;
    nearest.push(...successorsOf(block));
  }
  keepOnly(kept);
  return false;
}

/** Makes all edges to other blocks leave. */
function keepOnly(kept: ReadonlySet<Block>): void {
  for (const block of kept) redirect(block, (edge) => !edge.block || kept.has(edge.block));
}

/**
 * The blocks of the loop that the nearest jump back to the root makes, with functions that it calls. None if there is no such loop, nothing around it leads
 * back, or it is known to be a short one.
 */
function innerLoop(root: Block): Set<Block> {
  const none = new Set<Block>();
  const { pc, context, predecessors, lines } = root;
  const endOf = (block: Block): number => block.lines[block.lines.length - 1].pc;
  const latches = predecessors.filter((block) => block.context === context && endOf(block) >= pc);
  if (latches.length === 0 || lines[0].isShort) return none;
  const last = Math.min(...latches.map(endOf));
  const inner = new Set([root]);
  const queue = latches.filter((block) => endOf(block) === last);
  for (const block of queue) {
    if (inner.has(block)) continue;
    if (block.context === context && (block.pc < pc || block.pc > last)) return none;
    inner.add(block);
    queue.push(...block.predecessors);
  }
  return leadingBack(root).size > inner.size ? inner : none;
}

/** Takes inner loops in which control stays out of what the root leads to. */
function leaveForInnerLoops(root: Block, staysIn: (line: Line) => boolean): void {
  const reached = new Set([root]);
  let isLess = false;
  const isKept = ({ block }: Edge): boolean => {
    if (!block || block === root || !block.lines[0].isInner || !staysIn(block.lines[0])) return true;
    isLess = true;
    return false;
  };
  for (const block of reached) {
    redirect(block, isKept);
    for (const next of successorsOf(block)) reached.add(next);
  }
  if (!isLess) return;
  for (const block of reached) block.predecessors.length = 0;
  for (const block of reached) for (const next of successorsOf(block)) next.predecessors.push(block);
}

/** The blocks of the loop that begins at the root; none if there is no such loop. */
function leadingBack(root: Block): Set<Block> {
  const found = new Set<Block>();
  const queue = root.predecessors.length > 0 ? [root] : [];
  for (const block of queue) {
    if (found.has(block)) continue;
    found.add(block);
    queue.push(...block.predecessors);
  }
  return found;
}

/** The block that comes next in any case. */
const sureNext = ({ ending }: Block): Block | undefined => (ending.kind === "jump" ? ending.next.block : undefined);

/** Makes the edges that `keep` rejects leave the region. */
const redirect = (block: Block, keep: (edge: Edge) => boolean): void =>
  mapEdges(block, (edge) => (keep(edge) ? edge : { block: undefined, pc: edge.pc }));

/** The nodes, with dominators, loops and liveness. */
function arrange(root: Block): { nodes: Node[]; nodeOf: Map<Block, Node> } {
  const { nodes, nodeOf } = makeNodes(root);
  connect(nodes, nodeOf);
  findDominators(nodes);
  while (cutIrreducible(nodes, nodeOf)) {
    connect(nodes, nodeOf);
    findDominators(nodes);
  }
  shape(nodes);
  findLiveness(nodes);
  return { nodes, nodeOf };
}

export function analyze(rootBlock: Block, options: FlowOptions): Flow {
  const isInner = trim(rootBlock, options);
  let { nodes, nodeOf } = arrange(rootBlock);
  const { isLoop } = nodes[0];
  if (joinLoops(nodes, nodeOf)) ({ nodes, nodeOf } = arrange(rootBlock));
  if (turnLoops(nodes)) ({ nodes, nodeOf } = arrange(rootBlock));
  findWords(nodes, options, isLoop);
  findDirty(nodes);
  findWindows(nodes, options.cuts);
  findHeld(nodes);
  findWanted(nodes);
  return {
    root: nodes[0],
    nodes,
    nodeOf,
    instructions: nodes.reduce((sum, { block }) => sum + block.lines.length, 0),
    isInner,
  };
}
