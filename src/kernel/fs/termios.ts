// struct termios and its bits (uapi/asm-generic/termbits.h), and the settings that a new terminal has (tty_std_termios).
// Used by the line discipline and the terminal's ioctls.

// c_iflag
export const IGNBRK = 0o1;
export const BRKINT = 0o2;
export const ISTRIP = 0o40;
export const INLCR = 0o100;
export const IGNCR = 0o200;
export const ICRNL = 0o400;
export const IUCLC = 0o1000;
export const IXON = 0o2000;
export const IXANY = 0o4000;
export const IMAXBEL = 0o20000;
export const IUTF8 = 0o40000;
// c_oflag
export const OPOST = 0o1;
export const OLCUC = 0o2;
export const ONLCR = 0o4;
export const OCRNL = 0o10;
export const ONOCR = 0o20;
export const ONLRET = 0o40;
export const XTABS = 0o14000;
// c_cflag
export const HUPCL = 0o2000;
// c_lflag
export const ISIG = 0o1;
export const ICANON = 0o2;
export const ECHO = 0o10;
export const ECHOE = 0o20;
export const ECHOK = 0o40;
export const ECHONL = 0o100;
export const NOFLSH = 0o200;
export const TOSTOP = 0o400;
export const ECHOCTL = 0o1000;
export const ECHOPRT = 0o2000;
export const ECHOKE = 0o4000;
export const IEXTEN = 0o100000;
export const EXTPROC = 0o200000;
// c_cc
export const VINTR = 0;
export const VQUIT = 1;
export const VERASE = 2;
export const VKILL = 3;
export const VEOF = 4;
export const VTIME = 5;
export const VMIN = 6;
export const VSTART = 8;
export const VSTOP = 9;
export const VSUSP = 10;
export const VEOL = 11;
export const VREPRINT = 12;
export const VWERASE = 14;
export const VLNEXT = 15;
export const VEOL2 = 16;

const NCCS = 19;
/** sizeof(struct termios) in the kernel's ABI. */
export const TERMIOS_SIZE = 36;
/** sizeof(struct termio), System V's older and smaller one: 16 bits of each flag word, eight control characters. */
export const TERMIO_SIZE = 18;
const NCC = 8;
/** A control character that is switched off. */
export const DISABLED = 0;

export interface Termios {
  iflag: number;
  oflag: number;
  cflag: number;
  lflag: number;
  line: number;
  cc: Uint8Array;
}

/** A new terminal's settings: canonical, echoing, 38400 baud, 8 bits. */
export function standardTermios(): Termios {
  const cc = new Uint8Array(NCCS);
  cc.set([3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0]);
  return {
    iflag: ICRNL | IXON,
    oflag: OPOST | ONLCR,
    cflag: 0o17 | 0o60 | 0o200 | HUPCL, // B38400 | CS8 | CREAD | HUPCL
    lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    line: 0,
    cc,
  };
}

export function encodeTermios(t: Termios): Uint8Array {
  const out = new Uint8Array(TERMIOS_SIZE);
  const view = new DataView(out.buffer);
  [t.iflag, t.oflag, t.cflag, t.lflag].forEach((flags, i) => view.setUint32(4 * i, flags, true));
  out[16] = t.line;
  out.set(t.cc, 17);
  return out;
}

export function decodeTermios(bytes: Uint8Array): Termios {
  const view = new DataView(bytes.buffer, bytes.byteOffset, TERMIOS_SIZE);
  return {
    iflag: view.getUint32(0, true),
    oflag: view.getUint32(4, true),
    cflag: view.getUint32(8, true),
    lflag: view.getUint32(12, true),
    line: bytes[16]!,
    cc: bytes.slice(17, 17 + NCCS),
  };
}

/** struct termio: what of it there was in System V. */
export function encodeTermio(t: Termios): Uint8Array {
  const out = new Uint8Array(TERMIO_SIZE);
  const view = new DataView(out.buffer);
  [t.iflag, t.oflag, t.cflag, t.lflag].forEach((flags, i) => view.setUint16(2 * i, flags & 0xffff, true));
  out[8] = t.line;
  out.set(t.cc.subarray(0, NCC), 9);
  return out;
}

/** `old` with what a struct termio says (user_termio_to_kernel_termios). */
export function applyTermio(old: Termios, bytes: Uint8Array): Termios {
  const view = new DataView(bytes.buffer, bytes.byteOffset, TERMIO_SIZE);
  const low = (flags: number, i: number): number => ((flags & 0xffff0000) | view.getUint16(2 * i, true)) >>> 0;
  const cc = old.cc.slice();
  cc.set(bytes.subarray(9, 9 + NCC));
  return {
    iflag: low(old.iflag, 0),
    oflag: low(old.oflag, 1),
    cflag: low(old.cflag, 2),
    lflag: low(old.lflag, 3),
    line: bytes[8],
    cc,
  };
}

/** Settings in which no bit is set: what is locked of a new terminal. */
export const nothingLocked = (): Termios => ({
  iflag: 0,
  oflag: 0,
  cflag: 0,
  lflag: 0,
  line: 0,
  cc: new Uint8Array(NCCS),
});

/** `wanted`, but as in `old` wherever `locked` has a bit or a character set (unset_locked_termios). */
export function keepLocked(wanted: Termios, old: Termios, locked: Termios): Termios {
  const flags = (name: "iflag" | "oflag" | "cflag" | "lflag"): number =>
    ((wanted[name] & ~locked[name]) | (old[name] & locked[name])) >>> 0;
  return {
    iflag: flags("iflag"),
    oflag: flags("oflag"),
    cflag: flags("cflag"),
    lflag: flags("lflag"),
    line: locked.line !== 0 ? old.line : wanted.line,
    cc: wanted.cc.map((character, i) => (locked.cc[i] !== 0 ? old.cc[i] : character)),
  };
}
