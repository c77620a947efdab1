// Numbers and structures of the socket interface (include/uapi/asm-generic/socket.h, include/linux/socket.h, include/uapi/linux/un.h).
// Used by the socket files beside this one and by syscall/socket.ts.

export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
/** Families that Linux knows (NPROTO). */
export const AF_MAX = 46;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
/** SOCK_MAX and the bits of the type itself. */
export const SOCK_MAX = 11;
export const SOCK_TYPE_MASK = 0xf;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_WAITFORONE = 0x10000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

export const SHUT_RD = 0;
export const SHUT_RDWR = 2;
/** Which directions are shut down: bits of UnixSocket.shutdown. */
export const RCV_SHUTDOWN = 1;
export const SEND_SHUTDOWN = 2;
export const SHUTDOWN_MASK = 3;

export const SOL_SOCKET = 1;
export const SO_DEBUG = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_DONTROUTE = 5;
export const SO_BROADCAST = 6;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_OOBINLINE = 10;
export const SO_PRIORITY = 12;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_PASSCRED = 16;
export const SO_PEERCRED = 17;
export const SO_RCVLOWAT = 18;
export const SO_SNDLOWAT = 19;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_TIMESTAMP = 29;
export const SO_ACCEPTCONN = 30;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const SO_PEERGROUPS = 59;

export const SCM_RIGHTS = 1;
export const SCM_CREDENTIALS = 2;
/** Descriptors in one message (SCM_MAX_FD). */
export const SCM_MAX_FD = 253;

/** net.core.somaxconn: the longest queue of connections. */
export const SOMAXCONN = 4096;
/** net.unix.max_dgram_qlen: datagrams that wait at a socket that is not connected to the sender. */
export const MAX_DGRAM_QLEN = 10;
/** net.core.wmem_default and rmem_default; also the maxima for setsockopt. */
export const SOCKET_BUFFER = 212992;

/** sizeof(struct sockaddr_un), and where the path begins. */
export const SOCKADDR_UN_SIZE = 110;
export const SUN_PATH = 2;

/** struct ucred */
export interface Ucred {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a socket says of a peer that it does not have. */
export const NO_PEER: Ucred = { pid: 0, uid: 0xffffffff, gid: 0xffffffff };
/** What a message without credentials arrives with. */
export const NO_CREDENTIALS: Ucred = { pid: 0, uid: 65534, gid: 65534 };
