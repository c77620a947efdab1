// Sockets that only messages refer to (net/unix/garbage.c): a socket sent through itself, or two sent through each other, would live for ever.
// Called when a socket is closed while files are in flight.

import type { OpenFile } from "./file.ts";
import type { Message } from "./socket-message.ts";
import type { SocketFs } from "./socket-names.ts";
import { SocketFile, type UnixSocket } from "./socket.ts";

/** All messages that wait at a socket, and at connections to it that nobody has accepted. */
function* messagesOf(socket: UnixSocket): Generator<Message> {
  yield* socket.queue;
  for (const connection of socket.connections) yield* connection.queue;
}

/** The sockets of `among` in messages that wait at `socket`, once for each message that carries them. */
function* carried(socket: UnixSocket, among: ReadonlyMap<UnixSocket, number>): Generator<UnixSocket> {
  for (const { files } of messagesOf(socket)) {
    for (const file of files) if (file instanceof SocketFile && among.has(file.socket)) yield file.socket;
  }
}

/** Empties the queues of sockets that can no longer be reached by any descriptor. */
export function collectGarbage(fs: SocketFs): void {
  if (fs.inFlight === 0 || fs.collecting) return;
  // Candidates: all their references are messages. The number: messages from outside of the candidates.
  const outside = new Map<UnixSocket, number>();
  for (const socket of fs.sockets) {
    if (socket.inFlight > 0 && socket.file?.refs === socket.inFlight) outside.set(socket, socket.inFlight);
  }
  for (const socket of outside.keys()) {
    for (const child of carried(socket, outside)) outside.set(child, outside.get(child)! - 1);
  }
  const reachable = [...outside.keys()].filter((socket) => outside.get(socket)! > 0);
  for (const socket of reachable) outside.delete(socket);
  for (let socket = reachable.pop(); socket !== undefined; socket = reachable.pop()) {
    for (const child of [...carried(socket, outside)]) {
      outside.delete(child);
      reachable.push(child);
    }
  }
  const files: OpenFile[] = [];
  for (const socket of outside.keys()) {
    for (const holder of [socket, ...socket.connections]) files.push(...holder.takeMessages());
  }
  fs.collecting = true;
  for (const file of files) file.put();
  fs.collecting = false;
}
