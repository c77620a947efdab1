// C: each 16-bit instruction of RV64GC as the 32-bit one it stands for (unprivileged specification, chapter "C"). Pure functions.

const bits = (word: number, high: number, low: number): number => (word >>> low) & ((1 << (high - low + 1)) - 1);
const signed = (value: number, width: number): number => (value << (32 - width)) >> (32 - width);

const iType = (opcode: number, f3: number, rd: number, rs1: number, imm: number): number =>
  ((imm << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | opcode) >>> 0;
const rType = (opcode: number, f3: number, f7: number, rd: number, rs1: number, rs2: number): number =>
  ((f7 << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | opcode) >>> 0;
const sType = (opcode: number, f3: number, rs1: number, rs2: number, imm: number): number =>
  (((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((imm & 31) << 7) | opcode) >>> 0;
const bType = (f3: number, rs1: number, rs2: number, imm: number): number =>
  ((bits(imm, 12, 12) << 31) |
    (bits(imm, 10, 5) << 25) |
    (rs2 << 20) |
    (rs1 << 15) |
    (f3 << 12) |
    (bits(imm, 4, 1) << 8) |
    (bits(imm, 11, 11) << 7) |
    0x63) >>>
  0;
const jal = (rd: number, imm: number): number =>
  ((bits(imm, 20, 20) << 31) |
    (bits(imm, 10, 1) << 21) |
    (bits(imm, 11, 11) << 20) |
    (bits(imm, 19, 12) << 12) |
    (rd << 7) |
    0x6f) >>>
  0;

const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const LOAD = 0x03;
const LOAD_FP = 0x07;
const STORE = 0x23;
const STORE_FP = 0x27;
const OP = 0x33;
const OP_32 = 0x3b;
const JALR = 0x67;
const EBREAK = 0x00100073;
const ILLEGAL = 0;

/** The 32-bit instruction for a 16-bit one (low two bits not 3), or 0 for a reserved encoding. */
export function expandCompressed(c: number): number {
  const f3 = bits(c, 15, 13);
  switch (c & 3) {
    case 0:
      return quadrant0(c, f3);
    case 1:
      return quadrant1(c, f3);
    default:
      return quadrant2(c, f3);
  }
}

/** Stack-pointer and register-relative loads and stores, three-bit registers. */
function quadrant0(c: number, f3: number): number {
  const rd = 8 + bits(c, 4, 2);
  const rs1 = 8 + bits(c, 9, 7);
  const double = (bits(c, 6, 5) << 6) | (bits(c, 12, 10) << 3);
  const word = (bits(c, 5, 5) << 6) | (bits(c, 12, 10) << 3) | (bits(c, 6, 6) << 2);
  switch (f3) {
    case 0: {
      const imm = (bits(c, 10, 7) << 6) | (bits(c, 12, 11) << 4) | (bits(c, 5, 5) << 3) | (bits(c, 6, 6) << 2);
      return imm === 0 ? ILLEGAL : iType(OP_IMM, 0, rd, 2, imm);
    }
    case 1:
      return iType(LOAD_FP, 3, rd, rs1, double);
    case 2:
      return iType(LOAD, 2, rd, rs1, word);
    case 3:
      return iType(LOAD, 3, rd, rs1, double);
    case 5:
      return sType(STORE_FP, 3, rs1, rd, double);
    case 6:
      return sType(STORE, 2, rs1, rd, word);
    case 7:
      return sType(STORE, 3, rs1, rd, double);
    default:
      return ILLEGAL;
  }
}

/** Immediates, arithmetic, branches. */
function quadrant1(c: number, f3: number): number {
  const rd = bits(c, 11, 7);
  const low = 8 + bits(c, 9, 7);
  const imm6 = signed((bits(c, 12, 12) << 5) | bits(c, 6, 2), 6);
  switch (f3) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, imm6);
    case 1:
      return rd === 0 ? ILLEGAL : iType(OP_IMM_32, 0, rd, rd, imm6);
    case 2:
      return iType(OP_IMM, 0, rd, 0, imm6);
    case 3: {
      if (rd === 2) {
        const raw =
          (bits(c, 12, 12) << 9) |
          (bits(c, 4, 3) << 7) |
          (bits(c, 5, 5) << 6) |
          (bits(c, 2, 2) << 5) |
          (bits(c, 6, 6) << 4);
        return raw === 0 ? ILLEGAL : iType(OP_IMM, 0, 2, 2, signed(raw, 10));
      }
      return imm6 === 0 ? ILLEGAL : ((imm6 << 12) | (rd << 7) | 0x37) >>> 0;
    }
    case 4:
      return arithmetic(c, low, imm6);
    case 5:
      return jal(0, jumpOffset(c));
    default: {
      const offset = signed(
        (bits(c, 12, 12) << 8) |
          (bits(c, 6, 5) << 6) |
          (bits(c, 2, 2) << 5) |
          (bits(c, 11, 10) << 3) |
          (bits(c, 4, 3) << 1),
        9,
      );
      return bType(f3 === 6 ? 0 : 1, low, 0, offset);
    }
  }
}

function jumpOffset(c: number): number {
  return signed(
    (bits(c, 12, 12) << 11) |
      (bits(c, 8, 8) << 10) |
      (bits(c, 10, 9) << 8) |
      (bits(c, 6, 6) << 7) |
      (bits(c, 7, 7) << 6) |
      (bits(c, 2, 2) << 5) |
      (bits(c, 11, 11) << 4) |
      (bits(c, 5, 3) << 1),
    12,
  );
}

function arithmetic(c: number, rd: number, imm6: number): number {
  const shift = imm6 & 0x3f;
  const rs2 = 8 + bits(c, 4, 2);
  switch (bits(c, 11, 10)) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, shift);
    case 1:
      return iType(OP_IMM, 5, rd, rd, shift | 0x400);
    case 2:
      return iType(OP_IMM, 7, rd, rd, imm6);
    default:
      switch ((bits(c, 12, 12) << 2) | bits(c, 6, 5)) {
        case 0:
          return rType(OP, 0, 0x20, rd, rd, rs2);
        case 1:
          return rType(OP, 4, 0, rd, rd, rs2);
        case 2:
          return rType(OP, 6, 0, rd, rd, rs2);
        case 3:
          return rType(OP, 7, 0, rd, rd, rs2);
        case 4:
          return rType(OP_32, 0, 0x20, rd, rd, rs2);
        case 5:
          return rType(OP_32, 0, 0, rd, rd, rs2);
        default:
          return ILLEGAL;
      }
  }
}

/** Stack-relative loads and stores, jumps to registers, moves. */
function quadrant2(c: number, f3: number): number {
  const rd = bits(c, 11, 7);
  const rs2 = bits(c, 6, 2);
  const doubleLoad = (bits(c, 4, 2) << 6) | (bits(c, 12, 12) << 5) | (bits(c, 6, 5) << 3);
  const wordLoad = (bits(c, 3, 2) << 6) | (bits(c, 12, 12) << 5) | (bits(c, 6, 4) << 2);
  const doubleStore = (bits(c, 9, 7) << 6) | (bits(c, 12, 10) << 3);
  const wordStore = (bits(c, 8, 7) << 6) | (bits(c, 12, 9) << 2);
  switch (f3) {
    case 0:
      return iType(OP_IMM, 1, rd, rd, (bits(c, 12, 12) << 5) | rs2);
    case 1:
      return iType(LOAD_FP, 3, rd, 2, doubleLoad);
    case 2:
      return rd === 0 ? ILLEGAL : iType(LOAD, 2, rd, 2, wordLoad);
    case 3:
      return rd === 0 ? ILLEGAL : iType(LOAD, 3, rd, 2, doubleLoad);
    case 4:
      if (bits(c, 12, 12) === 0) {
        if (rs2 !== 0) return rType(OP, 0, 0, rd, 0, rs2);
        return rd === 0 ? ILLEGAL : iType(JALR, 0, 0, rd, 0);
      }
      if (rs2 !== 0) return rType(OP, 0, 0, rd, rd, rs2);
      return rd === 0 ? EBREAK : iType(JALR, 0, 1, rd, 0);
    case 5:
      return sType(STORE_FP, 3, 2, rs2, doubleStore);
    case 6:
      return sType(STORE, 2, 2, rs2, wordStore);
    default:
      return sType(STORE, 3, 2, rs2, doubleStore);
  }
}
