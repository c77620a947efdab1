// The terminal's line discipline (drivers/tty/n_tty.c): input editing, echo, signal characters, output processing.
// Knows nothing of tasks: a Tty gives it bytes and takes bytes, signals and wake-ups through LineHooks.

import {
  DISABLED,
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ICANON,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IUTF8,
  IXANY,
  IXON,
  NOFLSH,
  OCRNL,
  OLCUC,
  ONLCR,
  ONLRET,
  ONOCR,
  OPOST,
  type Termios,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VWERASE,
  XTABS,
  standardTermios,
} from "./termios.ts";

const NL = 10;
const CR = 13;
const TAB = 9;
const BS = 8;
const SPACE = 32;
const BELL = 7;
/** Bytes of one line, and of unread input (N_TTY_BUF_SIZE). */
const BUFFER_SIZE = 4096;

/** What the discipline needs of the terminal around it. */
export interface LineHooks {
  /** Bytes for the screen. */
  output(bytes: Uint8Array): void;
  /** A signal character was typed: SIGINT, SIGQUIT or SIGTSTP for the foreground. */
  signal(signo: number): void;
  /** There is something to read. */
  inputReady(): void;
  /** Output goes on after VSTOP. */
  outputStarted(): void;
}

export class LineDiscipline {
  termios: Termios = standardTermios();
  /** VSTOP was typed: output waits. */
  stopped = false;
  readonly #hooks: LineHooks;
  /** Canonical mode: finished lines; an empty one is an end of file. */
  #lines: Uint8Array[] = [];
  /** Canonical mode: the line being edited. Raw mode: all unread input. */
  #pending: number[] = [];
  /** The next byte is taken literally (VLNEXT). */
  #literal = false;
  #column = 0;
  /** Column where the line being edited began. */
  #lineColumn = 0;
  #out: number[] = [];

  constructor(hooks: LineHooks) {
    this.#hooks = hooks;
  }

  get canonical(): boolean {
    return (this.termios.lflag & ICANON) !== 0;
  }
  /** New settings; unread input crosses between the modes as Linux lets it. */
  setTermios(termios: Termios): void {
    const was = this.canonical;
    this.termios = termios;
    if (was && !this.canonical) {
      this.#pending = [...this.#lines.flatMap((line) => [...line]), ...this.#pending];
      this.#lines = [];
    } else if (!was && this.canonical && this.#pending.length > 0) {
      this.#lines.push(Uint8Array.from(this.#pending));
      this.#pending = [];
    }
    if (!(termios.iflag & IXON)) this.#start();
  }

  // Input

  /** Bytes from the keyboard (or the master side). */
  input(bytes: Uint8Array): void {
    for (const byte of bytes) this.#key(byte);
    this.#flush();
  }
  /** Bytes that read() can give now: those of finished lines, or all in raw mode. */
  get available(): number {
    return this.canonical ? this.#lines.reduce((sum, line) => sum + line.length, 0) : this.#pending.length;
  }
  /** A read would not wait: a line (perhaps an end of file), or `min` bytes in raw mode. */
  readyFor(min: number): boolean {
    return this.canonical ? this.#lines.length > 0 : this.#pending.length >= min;
  }
  /** Takes up to `length` bytes: in canonical mode of one line. */
  take(length: number): Uint8Array {
    if (!this.canonical) return Uint8Array.from(this.#pending.splice(0, length));
    const line = this.#lines[0];
    if (!line) return new Uint8Array(0);
    if (line.length <= length) {
      this.#lines.shift();
      return line;
    }
    this.#lines[0] = line.subarray(length);
    return line.subarray(0, length);
  }
  /** Puts bytes back that take() gave. */
  untake(bytes: Uint8Array): void {
    if (this.canonical) this.#lines.unshift(bytes.slice());
    else this.#pending.unshift(...bytes);
  }
  flushInput(): void {
    this.#lines = [];
    this.#pending = [];
    this.#literal = false;
  }

  #is(index: number, byte: number): boolean {
    const c = this.termios.cc[index]!;
    return c !== DISABLED && c === byte;
  }

  #key(byte: number): void {
    const { iflag, lflag } = this.termios;
    if (iflag & ISTRIP) byte &= 0x7f;
    if (iflag & IUCLC && lflag & IEXTEN && byte >= 65 && byte <= 90) byte += 32;
    if (this.#literal) {
      this.#literal = false;
      this.#store(byte);
      return;
    }
    if (iflag & IXON) {
      if (this.#is(VSTOP, byte)) {
        this.stopped = true;
        return;
      }
      if (this.#is(VSTART, byte)) return this.#start();
      if (this.stopped && iflag & IXANY) this.#start();
    }
    if (lflag & ISIG && this.#signalKey(byte)) return;
    if (byte === CR) {
      if (iflag & IGNCR) return;
      if (iflag & ICRNL) byte = NL;
    } else if (byte === NL && iflag & INLCR) byte = CR;
    if (lflag & ICANON) this.#edit(byte);
    else this.#store(byte);
  }

  #signalKey(byte: number): boolean {
    const signo = this.#is(VINTR, byte) ? 2 : this.#is(VQUIT, byte) ? 3 : this.#is(VSUSP, byte) ? 20 : 0;
    if (!signo) return false;
    if (!(this.termios.lflag & NOFLSH)) {
      this.flushInput();
      this.#out.length = 0;
    }
    this.#start();
    if (this.termios.lflag & ECHO) this.#echo(byte);
    this.#flush();
    this.#hooks.signal(signo);
    return true;
  }

  /** Canonical mode: one key of line editing. */
  #edit(byte: number): void {
    const { lflag } = this.termios;
    const extended = (lflag & IEXTEN) !== 0;
    if (this.#is(VERASE, byte)) return this.#erase("character");
    if (this.#is(VKILL, byte)) return this.#kill();
    if (extended && this.#is(VWERASE, byte)) return this.#erase("word");
    if (extended && this.#is(VLNEXT, byte)) {
      this.#literal = true;
      if (lflag & ECHO && lflag & ECHOCTL) this.#put([94, BS]); // "^" under the cursor
      return;
    }
    if (extended && lflag & ECHO && this.#is(VREPRINT, byte)) return this.#reprint(byte);
    if (byte === NL) {
      if (lflag & (ECHO | ECHONL)) this.#process(NL);
      return this.#finish(byte);
    }
    if (this.#is(VEOF, byte)) return this.#finish(undefined);
    if (this.#is(VEOL, byte) || (extended && this.#is(VEOL2, byte))) {
      if (lflag & ECHO) this.#echo(byte);
      return this.#finish(byte);
    }
    this.#store(byte);
  }
  /** The line is done; `last` ends it and belongs to it, or nothing does (VEOF). */
  #finish(last: number | undefined): void {
    if (last !== undefined) this.#pending.push(last);
    this.#lines.push(Uint8Array.from(this.#pending));
    this.#pending = [];
    this.#hooks.inputReady();
  }
  #store(byte: number): void {
    const { lflag } = this.termios;
    if (this.#pending.length >= BUFFER_SIZE - 1) return this.#put([BELL]);
    if (lflag & ECHO) {
      if (this.canonical && this.#pending.length === 0) this.#lineColumn = this.#column;
      this.#echo(byte);
    } else if (lflag & ECHONL && byte === NL && this.canonical) this.#process(NL);
    this.#pending.push(byte);
    if (!this.canonical) this.#hooks.inputReady();
  }

  #kill(): void {
    const { lflag } = this.termios;
    if (lflag & ECHO && !(lflag & ECHOKE && lflag & ECHOE && lflag & ECHOK)) {
      this.#pending = [];
      this.#echo(this.termios.cc[VKILL]!);
      if (lflag & ECHOK) this.#process(NL);
      return;
    }
    while (this.#pending.length > 0) this.#eraseOne();
  }
  #erase(what: "character" | "word"): void {
    if (what === "character") {
      if (this.#pending.length > 0) this.#eraseOne();
      return;
    }
    const isWord = (c: number): boolean =>
      (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95 || c >= 128;
    let seen = false;
    while (this.#pending.length > 0) {
      const word = isWord(this.#pending.at(-1)!);
      if (seen && !word) return;
      seen ||= word;
      this.#eraseOne();
    }
  }
  #eraseOne(): void {
    const { lflag, iflag } = this.termios;
    let byte = this.#pending.pop()!;
    if (iflag & IUTF8) while ((byte & 0xc0) === 0x80 && this.#pending.length > 0) byte = this.#pending.pop()!;
    if (!(lflag & ECHO)) return;
    if (!(lflag & ECHOE)) return this.#echo(this.termios.cc[VERASE]!);
    if (byte === TAB) {
      let column = this.#lineColumn;
      for (const c of this.#pending) column += this.#width(c, column);
      // The cursor goes back over it; there is nothing to wipe out.
      while (this.#column > column) {
        this.#put([BS]);
        this.#column--;
      }
      return;
    }
    for (let n = this.#width(byte, 0); n > 0; n--) this.#rub();
  }
  #width(byte: number, column: number): number {
    if (byte === TAB) return 8 - (column & 7);
    if (byte < 32 || byte === 127) return this.termios.lflag & ECHOCTL ? 2 : 0;
    return this.termios.iflag & IUTF8 && (byte & 0xc0) === 0x80 ? 0 : 1;
  }
  #rub(): void {
    this.#put([BS, SPACE, BS]);
    if (this.#column > 0) this.#column--;
  }
  #reprint(byte: number): void {
    this.#echo(byte);
    this.#process(NL);
    for (const c of this.#pending) this.#echo(c);
  }

  // Output

  /** Bytes that a program writes, processed as OPOST says. */
  write(bytes: Uint8Array): void {
    if (!(this.termios.oflag & OPOST)) {
      this.#hooks.output(bytes);
      return;
    }
    for (const byte of bytes) this.#process(byte);
    this.#flush();
  }
  #start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.#hooks.outputStarted();
  }
  /** Echo of a typed byte: control characters as ^X. */
  #echo(byte: number): void {
    const control = byte < 32 || byte === 127;
    if (control && byte !== TAB && byte !== NL && this.termios.lflag & ECHOCTL) {
      this.#put([94, byte ^ 64]);
      this.#column += 2;
      return;
    }
    this.#process(byte);
  }
  #put(bytes: readonly number[]): void {
    for (const byte of bytes) this.#out.push(byte);
  }
  /** One byte through output processing (do_output_char). */
  #process(byte: number): void {
    const { oflag } = this.termios;
    if (!(oflag & OPOST)) {
      this.#out.push(byte);
      return;
    }
    switch (byte) {
      case NL:
        if (oflag & ONLRET) this.#column = 0;
        if (oflag & ONLCR) {
          this.#column = 0;
          this.#put([CR, NL]);
          return;
        }
        break;
      case CR:
        if (oflag & ONOCR && this.#column === 0) return;
        if (oflag & OCRNL) {
          byte = NL;
          if (oflag & ONLRET) this.#column = 0;
          break;
        }
        this.#column = 0;
        break;
      case TAB: {
        const spaces = 8 - (this.#column & 7);
        this.#column += spaces;
        if ((oflag & XTABS) === XTABS) {
          for (let i = 0; i < spaces; i++) this.#out.push(SPACE);
          return;
        }
        break;
      }
      case BS:
        if (this.#column > 0) this.#column--;
        break;
      default:
        if (byte >= 32 && byte !== 127) {
          if (oflag & OLCUC && byte >= 97 && byte <= 122) byte -= 32;
          if (!(this.termios.iflag & IUTF8 && (byte & 0xc0) === 0x80)) this.#column++;
        }
    }
    this.#out.push(byte);
  }
  #flush(): void {
    if (this.#out.length === 0) return;
    const bytes = Uint8Array.from(this.#out);
    this.#out.length = 0;
    this.#hooks.output(bytes);
  }
}
