// UNIX sockets without programs: what moves, what is refused, and that files in messages are neither lost nor kept for ever. Compared with Linux
// in guest/tests/sock-*.c.
import { beforeEach, describe, expect, test } from "vitest";
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINVAL, EISCONN, ENOTCONN, EPIPE, EPROTOTYPE } from "../../base/errno.ts";
import { bootFiles } from "../../testing/files.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../task.ts";
import { O_NONBLOCK, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, stringToBytes, bytesToString } from "./abi.ts";
import type { OpenFile } from "./file.ts";
import { MSG_NOSIGNAL, MSG_PEEK, SHUTDOWN_MASK, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "./socket-abi.ts";
import { type Received, receive, send } from "./socket-transfer.ts";
import { type SocketFile, UnixSocket } from "./socket.ts";

let kernel: Kernel;
let task: Task;
beforeEach(() => ({ kernel, task } = bootFiles()));

function pair(type: number): [SocketFile, SocketFile] {
  const a = kernel.vfs.sockets.open(task, type, O_NONBLOCK);
  const b = kernel.vfs.sockets.open(task, type, O_NONBLOCK);
  a.socket.connectTo(b.socket);
  b.socket.connectTo(a.socket);
  return [a, b];
}
const put = (file: SocketFile, text: string, files: OpenFile[] = [], to: string | null = null): number =>
  send(task, file.socket, {
    data: stringToBytes(text),
    flags: MSG_NOSIGNAL,
    nonblocking: true,
    files,
    creds: null,
    to,
  }) as number;
const get = (file: SocketFile, length = 100, flags = 0): Received | number =>
  receive(task, file.socket, { length, flags, nonblocking: true }) as Received | number;
const text = (got: Received | number): string | number => (typeof got === "number" ? got : bytesToString(got.data));

test("a stream joins writes, packets stay apart", () => {
  const [a, b] = pair(SOCK_STREAM);
  put(a, "ab");
  put(a, "cd");
  expect(text(get(b, 3))).toBe("abc");
  expect(text(get(b))).toBe("d");
  expect(get(b)).toBe(-EAGAIN);
  const [c, d] = pair(SOCK_SEQPACKET);
  put(c, "ab");
  put(c, "cd");
  const first = get(d, 1) as Received;
  expect([bytesToString(first.data), first.whole]).toEqual(["a", 2]);
  expect(text(get(d, 100, MSG_PEEK))).toBe("cd");
  expect(text(get(d))).toBe("cd");
  for (const file of [a, b, c, d]) file.put();
  expect(kernel.vfs.sockets.sockets.size).toBe(0);
});

test("a closed side is the end, or a reset if it left something unread", () => {
  const [a, b] = pair(SOCK_STREAM);
  put(b, "unread");
  put(a, "last");
  a.put();
  expect(b.poll() & (POLLHUP | POLLRDHUP | POLLIN)).toBe(POLLHUP | POLLRDHUP | POLLIN);
  expect(text(get(b))).toBe("last");
  expect(get(b)).toBe(-ECONNRESET);
  expect(text(get(b))).toBe("");
  expect(put(b, "x")).toBe(-EPIPE);
  b.put();
});

describe("names", () => {
  const { sockets } = ((): { sockets: () => Kernel["vfs"]["sockets"] } => ({ sockets: () => kernel.vfs.sockets }))();
  const listener = (name: string): SocketFile => {
    const file = sockets().open(task, SOCK_STREAM, 0);
    expect(sockets().bind(task, file.socket, name)).toBe(0);
    expect(file.socket.listen(task, 1)).toBe(0);
    return file;
  };
  const connect = (file: SocketFile, name: string): number =>
    file.socket.connect(task, () => sockets().find(task, name, file.socket.type), { nonblocking: true }) as number;

  test.each(["/tmp/name", "\0abstract"])("%j: connect, accept, talk", (name) => {
    const server = listener(name);
    const client = sockets().open(task, SOCK_STREAM, O_NONBLOCK);
    expect(connect(client, name)).toBe(0);
    expect(connect(client, name)).toBe(-EISCONN);
    expect(put(client, "early")).toBe(5);
    expect(server.poll() & POLLIN).toBe(POLLIN);
    const accepted = server.socket.accept(task, { nonblocking: true }) as UnixSocket;
    expect(accepted).toBeInstanceOf(UnixSocket);
    const file = sockets().open(task, accepted, O_NONBLOCK);
    const got = get(file) as Received;
    expect([bytesToString(got.data), got.from]).toEqual(["early", null]);
    put(file, "answer");
    expect((get(client) as Received).from).toBe(name);
    expect(client.socket.peerCred.pid).toBe(task.tgid);
    server.put();
    const late = sockets().open(task, SOCK_STREAM, 0);
    expect(connect(late, name)).toBe(-ECONNREFUSED);
    for (const each of [client, file, late]) each.put();
    expect(sockets().sockets.size).toBe(0);
  });
  test("a full queue, another type, a listener that goes", () => {
    const server = listener("/tmp/full");
    const clients = [0, 1, 2].map(() => sockets().open(task, SOCK_STREAM, O_NONBLOCK));
    expect(clients.map((client) => connect(client, "/tmp/full"))).toEqual([0, 0, -EAGAIN]);
    const packets = sockets().open(task, SOCK_SEQPACKET, 0);
    expect(connect(packets, "/tmp/full")).toBe(-EPROTOTYPE);
    server.put();
    expect(get(clients[0])).toBe(-ECONNRESET);
    expect(get(clients[2])).toBe(-EINVAL);
    for (const each of [...clients, packets]) each.put();
    expect(sockets().sockets.size).toBe(0);
  });
  test("datagrams to names", () => {
    const a = sockets().open(task, SOCK_DGRAM, O_NONBLOCK);
    const b = sockets().open(task, SOCK_DGRAM, O_NONBLOCK);
    sockets().bind(task, b.socket, "\0b");
    expect(sockets().autobind(task, a.socket)).toBe(0);
    expect(a.socket.name!.text).toMatch(/^\0[0-9a-f]{5}$/);
    expect(put(a, "x")).toBe(-ENOTCONN);
    expect(put(a, "to b", [], "\0b")).toBe(4);
    expect((get(b) as Received).from).toBe(a.socket.name!.text);
    // net.unix.max_dgram_qlen is 10: one more than that fits.
    let sent = 0;
    while (put(a, "y", [], "\0b") === 1) sent++;
    expect(sent).toBe(11);
    a.put();
    b.put();
    expect(put(a, "z", [], "\0b")).toBe(-EPIPE);
  });
});

describe("files in messages", () => {
  /** An open file whose references can be counted. */
  const carried = (): OpenFile => kernel.vfs.pipes.create(task, 0)[0];

  test("arrive once, with the first byte they came with", () => {
    const [a, b] = pair(SOCK_STREAM);
    const file = carried();
    put(a, "abc", [file]);
    put(a, "def");
    expect(file.refs).toBe(2);
    const got = get(b, 2) as Received;
    expect([bytesToString(got.data), got.files]).toEqual(["ab", [file]]);
    expect((get(b) as Received).files).toEqual([]);
    expect(file.refs).toBe(2);
    file.put();
    a.put();
    b.put();
  });
  test("are let go when nobody receives them", () => {
    const [a, b] = pair(SOCK_DGRAM);
    const file = carried();
    put(a, "x", [file]);
    put(a, "y", [file, file]);
    expect(file.refs).toBe(4);
    b.put();
    expect(file.refs).toBe(1);
    a.put();
    expect(kernel.vfs.sockets.inFlight).toBe(0);
  });
  test("a socket sent through itself is collected", () => {
    const [a, b] = pair(SOCK_STREAM);
    const file = carried();
    put(a, "x", [b, file]);
    b.put();
    expect(file.refs).toBe(2);
    a.put();
    expect(file.refs).toBe(1);
    expect(kernel.vfs.sockets.sockets.size).toBe(0);
  });
  test("a ring of sockets too, but not what a descriptor still reaches", () => {
    const file = carried();
    const [a, b] = pair(SOCK_STREAM);
    const [c, d] = pair(SOCK_STREAM);
    const [e, f] = pair(SOCK_STREAM);
    put(a, "x", [d]);
    put(c, "x", [b, file]);
    put(e, "x", [b]);
    for (const each of [b, d, a, c]) each.put();
    // f is open: b can be received there, through b d, and through d the file.
    expect(d.socket.dead).toBe(false);
    expect(file.refs).toBe(2);
    f.put();
    expect(d.socket.dead).toBe(true);
    expect(file.refs).toBe(1);
    e.put();
    expect(kernel.vfs.sockets.sockets.size).toBe(0);
    expect(kernel.vfs.sockets.inFlight).toBe(0);
  });
  test("in a connection that nobody accepts", () => {
    const { sockets } = kernel.vfs;
    const server = sockets.open(task, SOCK_STREAM, 0);
    sockets.bind(task, server.socket, "\0s");
    server.socket.listen(task, 1);
    const client = sockets.open(task, SOCK_STREAM, O_NONBLOCK);
    client.socket.connect(task, () => sockets.find(task, "\0s", SOCK_STREAM), { nonblocking: true });
    const file = carried();
    put(client, "x", [server, file]);
    server.put();
    expect(file.refs).toBe(2);
    client.put();
    expect(file.refs).toBe(1);
    expect(sockets.sockets.size).toBe(0);
  });
});

test("room to send comes back with the reading", () => {
  const [a, b] = pair(SOCK_STREAM);
  while (put(a, "x".repeat(1000)) > 0);
  expect(a.poll() & POLLOUT).toBe(0);
  while (b.socket.available > 0) get(b, 100_000);
  expect(a.poll() & POLLOUT).toBe(POLLOUT);
  expect(a.socket.sent).toBe(0);
  a.socket.shutdown(SHUTDOWN_MASK);
  expect(put(b, "x")).toBe(-EPIPE);
  a.put();
  b.put();
});
