// The table of signal actions (struct sighand_struct): shared by all threads of a process, and by processes cloned with CLONE_SIGHAND.
import { NSIG } from "./siginfo.ts";

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const SA_NOCLDSTOP = 0x1;
export const SA_NOCLDWAIT = 0x2;
export const SA_SIGINFO = 0x4;
export const SA_EXPOSE_TAGBITS = 0x800;
export const SA_ONSTACK = 0x08000000;
export const SA_RESTART = 0x10000000;
export const SA_NODEFER = 0x40000000;
export const SA_RESETHAND = 0x80000000;
/** The flags that riscv knows (UAPI_SA_FLAGS); others are cleared, as rt_sigaction shows to those who ask. */
export const SA_KNOWN =
  (SA_NOCLDSTOP |
    SA_NOCLDWAIT |
    SA_SIGINFO |
    SA_ONSTACK |
    SA_RESTART |
    SA_NODEFER |
    SA_RESETHAND |
    SA_EXPOSE_TAGBITS) >>>
  0;

export interface SigAction {
  /** Address, SIG_DFL or SIG_IGN. */
  readonly handler: number;
  /** SA_*, unsigned. */
  readonly flags: number;
  readonly mask: bigint;
}

const DEFAULT: SigAction = { handler: SIG_DFL, flags: 0, mask: 0n };

export class SignalHandlers {
  /** By signal. Never changed but replaced: most forks share it for good. */
  #actions: readonly SigAction[];

  constructor(actions: readonly SigAction[] = new Array<SigAction>(NSIG + 1).fill(DEFAULT)) {
    this.#actions = actions;
  }

  get(signo: number): SigAction {
    return this.#actions[signo]!;
  }
  set(signo: number, action: SigAction): void {
    this.#actions = this.#actions.with(signo, action);
  }
  clone(): SignalHandlers {
    return new SignalHandlers(this.#actions);
  }
  /** exec: handlers go, ignored signals stay ignored. CLONE_CLEAR_SIGHAND: the same, for all that are not ignored. */
  resetForExec(): void {
    this.#actions = this.#actions.map((action) =>
      action.handler === SIG_IGN ? { ...DEFAULT, handler: SIG_IGN } : DEFAULT,
    );
  }
}
