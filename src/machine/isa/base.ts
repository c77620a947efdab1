// RV64I and Zifencei: the base integer instructions (unprivileged specification, chapters "RV32I" and "RV64I").
import { op } from "../../wasm/assembler.ts";
import { TRAP_BREAKPOINT, TRAP_ECALL } from "../trap.ts";
import type { Emitter } from "./emitter.ts";
import { FUNCT3_MASK, FUNCT7_MASK, type Instruction, OPCODE_MASK, define, funct3, funct7 } from "./instruction.ts";

const LOAD = 0x03;
const OP_IMM = 0x13;
const AUIPC = 0x17;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const MISC_MEM = 0x0f;
const SYSTEM = 0x73;

/** rd = x[rs1] OP imm. */
const immediate = (name: string, f3: number, first: number, second?: number): Instruction =>
  define({
    name,
    mask: FUNCT3_MASK,
    match: funct3(OP_IMM, f3),
    operands: "rd, rs1, i",
    emit: (e) =>
      e.setX(() => {
        e.x(1);
        e.imm();
        e.code.op(first, second);
      }),
  });

/** rd = x[rs1] SHIFT shamt, 64 bits wide. */
const shiftImmediate = (name: string, f3: number, high: number, shift: number): Instruction =>
  define({
    name,
    mask: 0xfc00707f,
    match: funct3(OP_IMM, f3) | (high << 26),
    operands: "rd, rs1, sh6",
    emit: (e) =>
      e.setX(() => {
        e.x(1);
        e.imm();
        e.code.op(shift);
      }),
  });

const shiftImmediateWord = (name: string, f3: number, f7: number, shift: number): Instruction =>
  define({
    name,
    mask: FUNCT7_MASK,
    match: funct7(OP_IMM_32, f3, f7),
    operands: "rd, rs1, sh5",
    emit: (e) =>
      e.setW(() => {
        e.w(1);
        e.immW();
        e.code.op(shift);
      }),
  });

/** rd = x[rs1] OP x[rs2]. WebAssembly's shifts take the count modulo the width, as RISC-V's do. */
const register = (name: string, f3: number, f7: number, first: number, second?: number): Instruction =>
  define({
    name,
    mask: FUNCT7_MASK,
    match: funct7(OP, f3, f7),
    operands: "rd, rs1, rs2",
    emit: (e) =>
      e.setX(() => {
        e.x(1);
        e.x(2);
        e.code.op(first, second);
      }),
  });

const registerWord = (name: string, f3: number, f7: number, operation: number): Instruction =>
  define({
    name,
    mask: FUNCT7_MASK,
    match: funct7(OP_32, f3, f7),
    operands: "rd, rs1, rs2",
    emit: (e) =>
      e.setW(() => {
        e.w(1);
        e.w(2);
        e.code.op(operation);
      }),
  });

const load = (name: string, f3: number, opcode: number, size: number): Instruction =>
  define({
    name,
    mask: FUNCT3_MASK,
    match: funct3(LOAD, f3),
    operands: "rd, i(rs1)",
    emit: (e) => e.load(opcode, size, "x"),
  });

const store = (name: string, f3: number, opcode: number, size: number): Instruction =>
  define({
    name,
    mask: FUNCT3_MASK,
    match: funct3(STORE, f3),
    operands: "rs2, s(rs1)",
    emit: (e) => e.store(opcode, size, () => e.x(2)),
  });

const branch = (name: string, f3: number, compare: number): Instruction =>
  define({
    name,
    mask: FUNCT3_MASK,
    match: funct3(BRANCH, f3),
    operands: "rs1, rs2, b",
    emit: (e) =>
      e.branch(() => {
        e.x(1);
        e.x(2);
        e.code.op(compare);
      }),
  });

/** What has no effect on a machine whose harts take turns and whose stores invalidate code at once. */
const nothing = (_e: Emitter): void => {};

export const BASE: readonly Instruction[] = [
  define({
    name: "lui",
    mask: OPCODE_MASK,
    match: LUI,
    operands: "rd, u",
    emit: (e) => e.setX(() => e.imm()),
  }),
  define({
    name: "auipc",
    mask: OPCODE_MASK,
    match: AUIPC,
    operands: "rd, u",
    emit: (e) =>
      e.setX(() => {
        e.pc();
        e.imm();
        e.code.op(op.i64Add);
      }),
  }),
  define({ name: "jal", mask: OPCODE_MASK, match: JAL, operands: "rd, j", emit: (e) => e.jal(), ends: true }),
  define({
    name: "jalr",
    mask: FUNCT3_MASK,
    match: funct3(JALR, 0),
    operands: "rd, i(rs1)",
    emit: (e) => e.jalr(),
    ends: true,
  }),
  branch("beq", 0, op.i64Eq),
  branch("bne", 1, op.i64Ne),
  branch("blt", 4, op.i64LtS),
  branch("bge", 5, op.i64GeS),
  branch("bltu", 6, op.i64LtU),
  branch("bgeu", 7, op.i64GeU),
  load("lb", 0, op.i64Load8S, 1),
  load("lh", 1, op.i64Load16S, 2),
  load("lw", 2, op.i64Load32S, 4),
  load("ld", 3, op.i64Load, 8),
  load("lbu", 4, op.i64Load8U, 1),
  load("lhu", 5, op.i64Load16U, 2),
  load("lwu", 6, op.i64Load32U, 4),
  store("sb", 0, op.i64Store8, 1),
  store("sh", 1, op.i64Store16, 2),
  store("sw", 2, op.i64Store32, 4),
  store("sd", 3, op.i64Store, 8),
  immediate("addi", 0, op.i64Add),
  immediate("slti", 2, op.i64LtS, op.i64ExtendI32U),
  immediate("sltiu", 3, op.i64LtU, op.i64ExtendI32U),
  immediate("xori", 4, op.i64Xor),
  immediate("ori", 6, op.i64Or),
  immediate("andi", 7, op.i64And),
  shiftImmediate("slli", 1, 0x00, op.i64Shl),
  shiftImmediate("srli", 5, 0x00, op.i64ShrU),
  shiftImmediate("srai", 5, 0x10, op.i64ShrS),
  define({
    name: "addiw",
    mask: FUNCT3_MASK,
    match: funct3(OP_IMM_32, 0),
    operands: "rd, rs1, i",
    emit: (e) =>
      e.setW(() => {
        e.w(1);
        e.immW();
        e.code.op(op.i32Add);
      }),
  }),
  shiftImmediateWord("slliw", 1, 0x00, op.i32Shl),
  shiftImmediateWord("srliw", 5, 0x00, op.i32ShrU),
  shiftImmediateWord("sraiw", 5, 0x20, op.i32ShrS),
  register("add", 0, 0x00, op.i64Add),
  register("sub", 0, 0x20, op.i64Sub),
  register("sll", 1, 0x00, op.i64Shl),
  register("slt", 2, 0x00, op.i64LtS, op.i64ExtendI32U),
  register("sltu", 3, 0x00, op.i64LtU, op.i64ExtendI32U),
  register("xor", 4, 0x00, op.i64Xor),
  register("srl", 5, 0x00, op.i64ShrU),
  register("sra", 5, 0x20, op.i64ShrS),
  register("or", 6, 0x00, op.i64Or),
  register("and", 7, 0x00, op.i64And),
  registerWord("addw", 0, 0x00, op.i32Add),
  registerWord("subw", 0, 0x20, op.i32Sub),
  registerWord("sllw", 1, 0x00, op.i32Shl),
  registerWord("srlw", 5, 0x00, op.i32ShrU),
  registerWord("sraw", 5, 0x20, op.i32ShrS),
  define({ name: "fence", mask: FUNCT3_MASK, match: funct3(MISC_MEM, 0), operands: "", emit: nothing }),
  define({ name: "fence.i", mask: FUNCT3_MASK, match: funct3(MISC_MEM, 1), operands: "", emit: nothing }),
  define({
    name: "ecall",
    mask: 0xffffffff,
    match: SYSTEM,
    operands: "",
    emit: (e) => e.trap(TRAP_ECALL),
    ends: true,
  }),
  define({
    name: "ebreak",
    mask: 0xffffffff,
    match: SYSTEM | (1 << 20),
    operands: "",
    emit: (e) => e.trap(TRAP_BREAKPOINT),
    ends: true,
  }),
];
