// Credentials of a task: user and group ids, supplementary groups, capability sets. A Creds object belongs to one task and is copied on
// clone; the identity calls (syscall/identity.ts) and exec change it, everyone else reads it.

/** All capabilities that Linux 6.12 knows: CAP_LAST_CAP is 40. */
export const CAP_FULL_SET = (1n << 41n) - 1n;

export const CAP_KILL = 5;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SETPCAP = 8;
export const CAP_IPC_LOCK = 14;
export const CAP_IPC_OWNER = 15;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_BOOT = 22;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;
export const CAP_SYS_TIME = 25;
export const CAP_SYSLOG = 34;

export class Creds {
  uid = 0;
  gid = 0;
  euid = 0;
  egid = 0;
  suid = 0;
  sgid = 0;
  fsuid = 0;
  fsgid = 0;
  groups: readonly number[] = [];
  /** Capability sets: bit n is capability n. */
  effective = CAP_FULL_SET;
  permitted = CAP_FULL_SET;
  inheritable = 0n;
  bounding = CAP_FULL_SET;
  ambient = 0n;
  securebits = 0;

  /** Has `capability` (its number) in the effective set. */
  capable(capability: number): boolean {
    return (this.effective & (1n << BigInt(capability))) !== 0n;
  }

  clone(): Creds {
    const copy = new Creds();
    copy.uid = this.uid;
    copy.gid = this.gid;
    copy.euid = this.euid;
    copy.egid = this.egid;
    copy.suid = this.suid;
    copy.sgid = this.sgid;
    copy.fsuid = this.fsuid;
    copy.fsgid = this.fsgid;
    copy.groups = this.groups;
    copy.effective = this.effective;
    copy.permitted = this.permitted;
    copy.inheritable = this.inheritable;
    copy.bounding = this.bounding;
    copy.ambient = this.ambient;
    copy.securebits = this.securebits;
    return copy;
  }

  /**
   * What a change of user ids does to capabilities (cap_emulate_setxuid): leaving root drops them, becoming effective root raises
   * them again. Call with the ids before the change.
   */
  uidsChanged(old: { uid: number; euid: number; suid: number; fsuid: number }, options: { keepCaps: boolean }): void {
    const wasRoot = old.uid === 0 || old.euid === 0 || old.suid === 0;
    const isRoot = this.uid === 0 || this.euid === 0 || this.suid === 0;
    if (wasRoot && !isRoot) {
      if (!options.keepCaps) this.permitted = this.effective = 0n;
      this.ambient = 0n;
    }
    if (old.euid === 0 && this.euid !== 0) this.effective = 0n;
    if (old.euid !== 0 && this.euid === 0) this.effective = this.permitted;
  }
}
