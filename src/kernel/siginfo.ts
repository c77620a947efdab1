// Signal numbers, sets and siginfo: the words of signals. Sets are bigints, bit n-1 for signal n, as the kernel's sigset_t.
// Used by signal.ts, the signal calls, signalfd, terminals and procfs.

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGSTKFLT = 16;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGURG = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGIO = 29;
export const SIGPWR = 30;
export const SIGSYS = 31;
/** First realtime signal, and the number of signals. */
export const SIGRTMIN = 32;
export const NSIG = 64;

/** Names of 1 to 31, without SIG. */
export const SIGNAL_NAMES = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ " +
  "VTALRM PROF WINCH IO PWR SYS"
).split(" ");

/** "SIGSEGV", "SIGRT_3": as strace writes them. */
export const signalName = (signo: number): string =>
  signo >= 1 && signo <= 31
    ? `SIG${SIGNAL_NAMES[signo - 1]}`
    : signo <= NSIG
      ? `SIGRT_${signo - SIGRTMIN}`
      : `${signo}`;

/** A set of signals: bit n-1 is signal n. */
export type SigSet = bigint;
export const sigbit = (signo: number): SigSet => 1n << BigInt(signo - 1);
export const sigset = (...signals: number[]): SigSet => signals.reduce((set, signo) => set | sigbit(signo), 0n);

export const UNBLOCKABLE = sigset(SIGKILL, SIGSTOP);
export const STOP_SIGNALS = sigset(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU);
/** Raised by what a thread does, taken before others (SYNCHRONOUS_MASK). */
export const SYNCHRONOUS = sigset(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS);
export const IGNORED_BY_DEFAULT = sigset(SIGCONT, SIGCHLD, SIGWINCH, SIGURG);
/** Default action: core dump. */
export const CORE_SIGNALS = sigset(
  SIGQUIT,
  SIGILL,
  SIGTRAP,
  SIGABRT,
  SIGFPE,
  SIGSEGV,
  SIGBUS,
  SIGSYS,
  SIGXCPU,
  SIGXFSZ,
);

// si_code
export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_QUEUE = -1;
export const SI_TIMER = -2;
export const SI_MESGQ = -3;
export const SI_ASYNCIO = -4;
export const SI_TKILL = -6;
export const ILL_ILLOPC = 1;
export const FPE_INTDIV = 1;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRALN = 1;
export const BUS_ADRERR = 2;
export const TRAP_BRKPT = 1;
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_DUMPED = 3;
export const CLD_TRAPPED = 4;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;

/** siginfo_t. Which of the optional fields count depends on signal and code, as in C. */
export interface SigInfo {
  readonly signo: number;
  readonly code: number;
  readonly errno?: number;
  /** Sender, or the child. */
  readonly pid?: number;
  readonly uid?: number;
  /** SIGCHLD: exit status or signal; times in clock ticks. */
  readonly status?: number;
  readonly utime?: number;
  readonly stime?: number;
  /** Faults: the address. */
  readonly addr?: number;
  /** sigval, 64 bits. */
  readonly value?: bigint;
  /** SI_TIMER; the overrun count is set at delivery. */
  readonly timerId?: number;
  /** Which setting of the timer sent it: a later timer_settime makes it stale. */
  readonly timerRound?: number;
  overrun?: number;
  /** SIGIO. */
  readonly band?: number;
  readonly fd?: number;
  /** From rt_sigqueueinfo: the 128 bytes as user space wrote them, signo and code aside. */
  readonly raw?: Uint8Array;
}

export const SIGINFO_SIZE = 128;

/** siginfo_t as user space sees it: 128 bytes, the union at offset 16. */
export function encodeSigInfo(info: SigInfo): Uint8Array {
  const out = info.raw ? info.raw.slice(0, SIGINFO_SIZE) : new Uint8Array(SIGINFO_SIZE);
  const v = new DataView(out.buffer);
  v.setInt32(0, info.signo, true);
  v.setInt32(4, info.errno ?? 0, true);
  v.setInt32(8, info.code, true);
  if (info.raw) return out;
  const put64 = (at: number, value: number): void => v.setBigInt64(at, BigInt(Math.trunc(value)), true);
  if (info.addr !== undefined) {
    put64(16, info.addr);
  } else if (info.timerId !== undefined) {
    v.setInt32(16, info.timerId, true);
    v.setInt32(20, info.overrun ?? 0, true);
    v.setBigUint64(24, BigInt.asUintN(64, info.value ?? 0n), true);
  } else if (info.band !== undefined) {
    put64(16, info.band);
    v.setInt32(24, info.fd ?? -1, true);
  } else {
    v.setInt32(16, info.pid ?? 0, true);
    v.setUint32(20, info.uid ?? 0, true);
    if (info.status !== undefined) {
      v.setInt32(24, info.status, true);
      put64(32, info.utime ?? 0);
      put64(40, info.stime ?? 0);
    } else {
      v.setBigUint64(24, BigInt.asUintN(64, info.value ?? 0n), true);
    }
  }
  return out;
}

/** Signals that wait to be taken: a set and, for each, what came with it. One for each task, one for each process. */
export class SignalQueue {
  set: SigSet = 0n;
  #infos: SigInfo[] = [];

  /** Standard signals are merged, realtime ones and those of timers queue. False if it was merged into one that is pending. */
  add(info: SigInfo): boolean {
    const bit = sigbit(info.signo);
    if (info.signo < SIGRTMIN && (this.set & bit) !== 0n && info.timerId === undefined) return false;
    this.set |= bit;
    this.#infos.push(info);
    return true;
  }
  /** Takes the oldest of `signo`, which must be pending. */
  take(signo: number): SigInfo {
    const at = this.#infos.findIndex((info) => info.signo === signo);
    const [info] = this.#infos.splice(at, 1);
    if (!this.#infos.some((other) => other.signo === signo)) this.set &= ~sigbit(signo);
    return info!;
  }
  /** Drops all of `signals`. */
  flush(signals: SigSet): void {
    if ((this.set & signals) === 0n) return;
    this.set &= ~signals;
    this.#infos = this.#infos.filter((info) => (sigbit(info.signo) & signals) === 0n);
  }
  /** Those that wait, oldest first. */
  get infos(): readonly SigInfo[] {
    return this.#infos;
  }
  /** How many wait. */
  get length(): number {
    return this.#infos.length;
  }
  /** Is a signal of this timer waiting? */
  hasTimer(timerId: number): SigInfo | undefined {
    return this.#infos.find((info) => info.timerId === timerId);
  }
}

/** The lowest signal of a set (synchronous ones first), or 0 for an empty one (next_signal). */
export function nextSignal(set: SigSet): number {
  if (set === 0n) return 0;
  const from = (set & SYNCHRONOUS) !== 0n ? set & SYNCHRONOUS : set;
  const low = Number(from & 0xffffffffn);
  return low !== 0 ? 32 - Math.clz32(low & -low) : 64 - Math.clz32(Number(from >> 32n) & -Number(from >> 32n));
}
