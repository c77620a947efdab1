// Control messages of sendmsg and recvmsg: descriptors (SCM_RIGHTS) and credentials (SCM_CREDENTIALS) in struct cmsghdr (net/core/scm.c).
// Used by socket-message.ts.

import { EBADF, EINVAL, EMFILE, EPERM, ESRCH, ETOOMANYREFS } from "../../base/errno.ts";
import { copyFromUser, copyToUser } from "../../mm/usercopy.ts";
import { CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN, CAP_SYS_RESOURCE } from "../creds.ts";
import type { OpenFile } from "../fs/file.ts";
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  NO_CREDENTIALS,
  SCM_CREDENTIALS,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOL_SOCKET,
  type Ucred,
} from "../fs/socket-abi.ts";
import type { UnixSocket } from "../fs/socket.ts";
import { RLIMIT_NOFILE } from "../rlimit.ts";
import type { Task } from "../task.ts";

/** sizeof(struct cmsghdr): length, level, type. */
const HEADER = 16;
const align = (n: number): number => (n + 7) & ~7;

/** What goes with a message. */
export interface Control {
  readonly files: readonly OpenFile[];
  readonly creds: Ucred | null;
}

const NONE: Control = { files: [], creds: null };

/** Reads the control messages at `at` (scm_send); -errno. */
export function readControl(task: Task, socket: UnixSocket, at: number, length: number): Control | number {
  if (length < HEADER) return NONE;
  const bytes = copyFromUser(task.mm, at, length);
  if (typeof bytes === "number") return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files: OpenFile[] = [];
  let creds: Ucred | null = null;
  for (let p = 0; p + HEADER <= length;) {
    const size = view.getUint32(p, true) + view.getUint32(p + 4, true) * 2 ** 32;
    if (size < HEADER || size > length - p) return -EINVAL;
    const type = view.getInt32(p + 12, true);
    if (view.getInt32(p + 8, true) === SOL_SOCKET) {
      const data = new DataView(bytes.buffer, bytes.byteOffset + p + HEADER, size - HEADER);
      if (type === SCM_RIGHTS) {
        const error = takeFiles(task, data, files);
        if (error) return error;
      } else if (type === SCM_CREDENTIALS) {
        const given = takeCredentials(task, data);
        if (typeof given === "number") return given;
        creds = given;
      } else return -EINVAL;
    }
    p += align(size);
  }
  if (socket.fs.inFlight > task.process.rlimit(RLIMIT_NOFILE) && files.length > 0 && !privileged(task)) {
    return -ETOOMANYREFS;
  }
  return { files, creds };
}

const privileged = (task: Task): boolean => task.capable(CAP_SYS_RESOURCE) || task.capable(CAP_SYS_ADMIN);

/** scm_fp_copy */
function takeFiles(task: Task, data: DataView, files: OpenFile[]): number {
  const count = Math.floor(data.byteLength / 4);
  if (count > SCM_MAX_FD || files.length + count > SCM_MAX_FD) return -EINVAL;
  for (let i = 0; i < count; i++) {
    const fd = data.getInt32(4 * i, true);
    const file = fd < 0 ? undefined : task.files.get(fd);
    if (file === undefined) return -EBADF;
    files.push(file);
  }
  return 0;
}

/** scm_check_creds: one's own ids, or those that one may take. */
function takeCredentials(task: Task, data: DataView): Ucred | number {
  if (data.byteLength !== 12) return -EINVAL;
  const given = { pid: data.getInt32(0, true), uid: data.getUint32(4, true), gid: data.getUint32(8, true) };
  if (given.uid === 0xffffffff || given.gid === 0xffffffff) return -EINVAL;
  const { creds } = task;
  const uidOk = [creds.uid, creds.euid, creds.suid].includes(given.uid) || task.capable(CAP_SETUID);
  const gidOk = [creds.gid, creds.egid, creds.sgid].includes(given.gid) || task.capable(CAP_SETGID);
  const pidOk = given.pid === task.tgid || task.capable(CAP_SYS_ADMIN);
  if (!uidOk || !gidOk || !pidOk) return -EPERM;
  return task.kernel.process(given.pid) === undefined ? -ESRCH : given;
}

/** Writes what came with a message to the buffer of `capacity` bytes at `at` (scm_recv): bytes used, and MSG_CTRUNC if not all fitted. */
export function writeControl(
  task: Task,
  socket: UnixSocket,
  got: { files: readonly OpenFile[]; creds: Ucred | null | undefined },
  buffer: { at: number; capacity: number; flags: number },
): { used: number; flags: number } {
  const out = { used: 0, flags: 0 };
  if (got.creds === undefined) return out;
  const { at, capacity } = buffer;
  if (at === 0) {
    for (const file of got.files) file.put();
    return { used: 0, flags: socket.passCred || got.files.length > 0 ? MSG_CTRUNC : 0 };
  }
  if (socket.passCred) {
    const creds = got.creds ?? NO_CREDENTIALS;
    const data = new DataView(new ArrayBuffer(12));
    data.setInt32(0, creds.pid, true);
    data.setUint32(4, creds.uid, true);
    data.setUint32(8, creds.gid, true);
    putControl(task, buffer, out, SCM_CREDENTIALS, new Uint8Array(data.buffer));
  }
  if (got.files.length > 0) putFiles(task, got.files, { at, capacity, flags: buffer.flags }, out);
  return out;
}

/** put_cmsg: cut where the buffer ends. */
function putControl(
  task: Task,
  buffer: { at: number; capacity: number },
  out: { used: number; flags: number },
  type: number,
  data: Uint8Array,
): void {
  const room = buffer.capacity - out.used;
  if (room < HEADER) {
    out.flags |= MSG_CTRUNC;
    return;
  }
  let size = HEADER + data.length;
  if (room < size) {
    out.flags |= MSG_CTRUNC;
    size = room;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, type, true);
  bytes.set(data.subarray(0, size - HEADER), HEADER);
  if (copyToUser(task.mm, buffer.at + out.used, bytes) < 0) return;
  out.used += Math.min(align(size), room);
}

/** scm_detach_fds: as many descriptors as the buffer and the limit take; the other files are closed. */
function putFiles(
  task: Task,
  files: readonly OpenFile[],
  buffer: { at: number; capacity: number; flags: number },
  out: { used: number; flags: number },
): void {
  const room = Math.max(0, Math.floor((buffer.capacity - out.used - HEADER) / 4));
  const fds: number[] = [];
  const limit = task.process.rlimit(RLIMIT_NOFILE);
  const cloexec = (buffer.flags & MSG_CMSG_CLOEXEC) !== 0;
  let full = false;
  for (const file of files) {
    const fd = full || fds.length >= room ? -EMFILE : task.files.install(file, { cloexec, limit });
    if (fd >= 0) {
      fds.push(fd);
    } else {
      full = true;
      file.put();
    }
  }
  if (fds.length > 0) putControl(task, buffer, out, SCM_RIGHTS, new Uint8Array(Int32Array.from(fds).buffer));
  if (fds.length < files.length) out.flags |= MSG_CTRUNC;
}
