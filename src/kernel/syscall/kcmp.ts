// kcmp(2): whether two tasks share a thing of the kernel. The order that it gives to different ones is arbitrary but lasting.
import { EBADF, EINVAL, EOPNOTSUPP, ESRCH } from "../../base/errno.ts";
import { ptraceMayAccess } from "../ptrace.ts";
import type { Task } from "../task.ts";
import type { Args } from "./table.ts";

const KCMP_FILE = 0;
const KCMP_VM = 1;
const KCMP_FILES = 2;
const KCMP_FS = 3;
const KCMP_SIGHAND = 4;
const KCMP_IO = 5;
const KCMP_SYSVSEM = 6;
const KCMP_EPOLL_TFD = 7;

/** Numbers in the order in which things were first asked for; kept with the kernel, gone with the things. */
class Order {
  readonly #numbers = new WeakMap<object, number>();
  #next = 1;
  of(thing: object | null): number {
    if (thing === null) return 0;
    let number = this.#numbers.get(thing);
    if (number === undefined) this.#numbers.set(thing, (number = this.#next++));
    return number;
  }
}

export function kcmp(task: Task, args: Args): number {
  const { kernel } = task;
  const first = kernel.task(args.i32(0));
  const second = kernel.task(args.i32(1));
  if (first === undefined || second === undefined) return -ESRCH;
  const denied = ptraceMayAccess(task, first, { creds: "real" }) || ptraceMayAccess(task, second, { creds: "real" });
  if (denied !== 0) return denied;
  const things = pick(first, second, args);
  if (typeof things === "number") return things;
  let order = kernel.init.attachments?.get("kcmp") as Order | undefined;
  if (order === undefined) kernel.init.attach("kcmp", (order = new Order()));
  const [a, b] = [order.of(things[0]), order.of(things[1])];
  return a === b ? 0 : a < b ? 1 : 2;
}

function pick(first: Task, second: Task, args: Args): [object | null, object | null] | number {
  switch (args.i32(2)) {
    case KCMP_FILE: {
      const a = first.filesOrNull?.get(args.i32(3));
      const b = second.filesOrNull?.get(args.i32(4));
      return a === undefined || b === undefined ? -EBADF : [a, b];
    }
    case KCMP_VM:
      return [first.mmOrNull, second.mmOrNull];
    case KCMP_FILES:
      return [first.filesOrNull, second.filesOrNull];
    case KCMP_FS:
      return [first.fsOrNull, second.fsOrNull];
    case KCMP_SIGHAND:
      return [first.process.handlers, second.process.handlers];
    case KCMP_IO:
    case KCMP_SYSVSEM:
      // Neither I/O contexts nor semaphore undo lists exist: they are equal.
      return [null, null];
    case KCMP_EPOLL_TFD:
      return -EOPNOTSUPP;
    default:
      return -EINVAL;
  }
}
