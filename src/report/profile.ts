// Where guest code spends its instructions: samples by process, file and function, written in speedscope's format. Reads ELF symbol tables.

const SHT_SYMTAB = 2;
const PT_LOAD = 1;
const STT_FUNC = 2;

interface FunctionSymbol {
  readonly start: number;
  readonly size: number;
  readonly name: string;
}

/** The functions of an ELF file, looked up by offset in the file. */
export class Symbols {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly functions: FunctionSymbol[] = [];

  /** A file without a symbol table, or one that is cut off, has no functions. */
  constructor(elf: Uint8Array) {
    this.bytes = elf;
    this.view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
    try {
      this.read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.functions.length = 0;
    }
    this.functions.sort((a, b) => a.start - b.start);
  }

  private u64(at: number): number {
    return Number(this.view.getBigUint64(at, true));
  }

  private read(): void {
    const { view } = this;
    const [sections, count] = [this.u64(40), view.getUint16(60, true)];
    for (let i = 0; i < count; i++) {
      const header = sections + 64 * i;
      if (view.getUint32(header + 4, true) !== SHT_SYMTAB) continue;
      const strings = this.u64(sections + 64 * view.getUint32(header + 40, true) + 24);
      const [start, size] = [this.u64(header + 24), this.u64(header + 32)];
      for (let at = start; at < start + size; at += 24) this.readSymbol(at, strings);
    }
  }

  private readSymbol(at: number, strings: number): void {
    if ((this.view.getUint8(at + 4) & 15) !== STT_FUNC) return;
    const from = strings + this.view.getUint32(at, true);
    const name = new TextDecoder().decode(this.bytes.subarray(from, this.bytes.indexOf(0, from)));
    this.functions.push({ start: this.u64(at + 8), size: this.u64(at + 16), name });
  }

  /** The address at which the file wants a byte of it to be mapped; undefined if it is not mapped. */
  private addressOf(offset: number): number | undefined {
    const [headers, count] = [this.u64(32), this.view.getUint16(56, true)];
    for (let at = headers; at < headers + 56 * count; at += 56) {
      const [from, size] = [this.u64(at + 8), this.u64(at + 32)];
      if (this.view.getUint32(at, true) === PT_LOAD && offset >= from && offset < from + size)
        return this.u64(at + 16) + offset - from;
    }
    return undefined;
  }

  /** The function that holds a byte of the file, or undefined. */
  at(offset: number): string | undefined {
    const address = this.functions.length > 0 ? this.addressOf(offset) : undefined;
    if (address === undefined) return undefined;
    let [low, high] = [0, this.functions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.functions[middle].start <= address) low = middle + 1;
      else high = middle;
    }
    const found = this.functions[low - 1];
    return found !== undefined && address < found.start + Math.max(found.size, 1) ? found.name : undefined;
  }
}

/** Where a sample was taken. */
export interface SamplePlace {
  readonly process: string;
  /** The file mapped there, or what else is: "[vdso]", "[heap]". */
  readonly file: string;
  readonly function: string;
}

/** Samples, counted by place. Each stands for `weight` instructions. */
export class Profile {
  private readonly weight: number;
  private readonly counts = new Map<string, { place: SamplePlace; count: number }>();

  constructor(weight: number) {
    this.weight = weight;
  }

  add(place: SamplePlace): void {
    const key = [place.process, place.file, place.function].join("\0");
    const known = this.counts.get(key);
    if (known) known.count++;
    else this.counts.set(key, { place, count: 1 });
  }

  /** As JSON in speedscope's file format: a profile for each process name, heaviest functions first. */
  speedscope(name: string): string {
    const frames: { name: string; file?: string }[] = [];
    const indices = new Map<string, number>();
    const frame = (title: string, file?: string): number => {
      const key = `${title}\0${file ?? ""}`;
      let index = indices.get(key);
      if (index === undefined) {
        indices.set(key, (index = frames.length));
        frames.push(file === undefined ? { name: title } : { name: title, file });
      }
      return index;
    };
    const entries = [...this.counts.values()].sort((a, b) => b.count - a.count);
    const processes = [...new Set(entries.map(({ place }) => place.process))];
    const profiles = processes.map((process) => {
      const own = entries.filter(({ place }) => place.process === process);
      const weights = own.map(({ count }) => count * this.weight);
      return {
        type: "sampled",
        name: process,
        unit: "none",
        startValue: 0,
        endValue: weights.reduce((sum, weight) => sum + weight, 0),
        samples: own.map(({ place }) => [frame(place.file), frame(place.function, place.file)]),
        weights,
      };
    });
    const $schema = "https://www.speedscope.app/file-format-schema.json";
    return JSON.stringify({ $schema, name, shared: { frames }, profiles });
  }
}
