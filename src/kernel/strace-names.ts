// Names that strace prints for numbers: error texts, flags, commands. Data for strace-args.ts only.

/** strerror(3) of 1 to 133, separated by "|". */
export const ERROR_TEXTS: readonly string[] = (
  "Operation not permitted|No such file or directory|No such process|Interrupted system call|" +
  "Input/output error|No such device or address|Argument list too long|Exec format error|Bad file descriptor|" +
  "No child processes|Resource temporarily unavailable|Cannot allocate memory|Permission denied|Bad address|" +
  "Block device required|Device or resource busy|File exists|Invalid cross-device link|No such device|" +
  "Not a directory|Is a directory|Invalid argument|Too many open files in system|Too many open files|" +
  "Inappropriate ioctl for device|Text file busy|File too large|No space left on device|Illegal seek|" +
  "Read-only file system|Too many links|Broken pipe|Numerical argument out of domain|" +
  "Numerical result out of range|Resource deadlock avoided|File name too long|No locks available|" +
  "Function not implemented|Directory not empty|Too many levels of symbolic links||No message of desired type|" +
  "Identifier removed|Channel number out of range|Level 2 not synchronized|Level 3 halted|Level 3 reset|" +
  "Link number out of range|Protocol driver not attached|No CSI structure available|Level 2 halted|" +
  "Invalid exchange|Invalid request descriptor|Exchange full|No anode|Invalid request code|Invalid slot||" +
  "Bad font file format|Device not a stream|No data available|Timer expired|Out of streams resources|" +
  "Machine is not on the network|Package not installed|Object is remote|Link has been severed|Advertise error|" +
  "Srmount error|Communication error on send|Protocol error|Multihop attempted|RFS specific error|Bad message|" +
  "Value too large for defined data type|Name not unique on network|File descriptor in bad state|" +
  "Remote address changed|Can not access a needed shared library|Accessing a corrupted shared library|" +
  ".lib section in a.out corrupted|Attempting to link in too many shared libraries|" +
  "Cannot exec a shared library directly|Invalid or incomplete multibyte or wide character|" +
  "Interrupted system call should be restarted|Streams pipe error|Too many users|" +
  "Socket operation on non-socket|Destination address required|Message too long|Protocol wrong type for socket|" +
  "Protocol not available|Protocol not supported|Socket type not supported|Operation not supported|" +
  "Protocol family not supported|Address family not supported by protocol|Address already in use|" +
  "Cannot assign requested address|Network is down|Network is unreachable|Network dropped connection on reset|" +
  "Software caused connection abort|Connection reset by peer|No buffer space available|" +
  "Transport endpoint is already connected|Transport endpoint is not connected|" +
  "Cannot send after transport endpoint shutdown|Too many references: cannot splice|Connection timed out|" +
  "Connection refused|Host is down|No route to host|Operation already in progress|Operation now in progress|" +
  "Stale file handle|Structure needs cleaning|Not a XENIX named type file|No XENIX semaphores available|" +
  "Is a named type file|Remote I/O error|Disk quota exceeded|No medium found|Wrong medium type|" +
  "Operation canceled|Required key not available|Key has expired|Key has been revoked|" +
  "Key was rejected by service|Owner died|State not recoverable|Operation not possible due to RF-kill|" +
  "Memory page has hardware error"
).split("|");

/** Bits by name, in the order in which strace prints them. A name may stand for several bits: longer ones come first. */
export type Flags = readonly (readonly [name: string, bits: number])[];

export const OPEN_FLAGS: Flags = [
  ["O_TMPFILE", 0o20200000],
  ["O_SYNC", 0o4010000],
  ["O_CREAT", 0o100],
  ["O_EXCL", 0o200],
  ["O_NOCTTY", 0o400],
  ["O_TRUNC", 0o1000],
  ["O_APPEND", 0o2000],
  ["O_NONBLOCK", 0o4000],
  ["O_DSYNC", 0o10000],
  ["O_DIRECT", 0o40000],
  ["O_LARGEFILE", 0o100000],
  ["O_NOFOLLOW", 0o400000],
  ["O_NOATIME", 0o1000000],
  ["O_CLOEXEC", 0o2000000],
  ["O_PATH", 0o10000000],
  ["O_DIRECTORY", 0o200000],
];
export const PROT_FLAGS: Flags = [
  ["PROT_READ", 1],
  ["PROT_WRITE", 2],
  ["PROT_EXEC", 4],
];
export const MAP_FLAGS: Flags = [
  ["MAP_SHARED_VALIDATE", 3],
  ["MAP_SHARED", 1],
  ["MAP_PRIVATE", 2],
  ["MAP_FIXED", 0x10],
  ["MAP_ANONYMOUS", 0x20],
  ["MAP_GROWSDOWN", 0x100],
  ["MAP_DENYWRITE", 0x800],
  ["MAP_EXECUTABLE", 0x1000],
  ["MAP_LOCKED", 0x2000],
  ["MAP_NORESERVE", 0x4000],
  ["MAP_POPULATE", 0x8000],
  ["MAP_NONBLOCK", 0x10000],
  ["MAP_STACK", 0x20000],
  ["MAP_HUGETLB", 0x40000],
  ["MAP_SYNC", 0x80000],
  ["MAP_FIXED_NOREPLACE", 0x100000],
];
export const CLONE_FLAGS: Flags = [
  ["CLONE_VM", 0x100],
  ["CLONE_FS", 0x200],
  ["CLONE_FILES", 0x400],
  ["CLONE_SIGHAND", 0x800],
  ["CLONE_PIDFD", 0x1000],
  ["CLONE_PTRACE", 0x2000],
  ["CLONE_VFORK", 0x4000],
  ["CLONE_PARENT", 0x8000],
  ["CLONE_THREAD", 0x10000],
  ["CLONE_NEWNS", 0x20000],
  ["CLONE_SYSVSEM", 0x40000],
  ["CLONE_SETTLS", 0x80000],
  ["CLONE_PARENT_SETTID", 0x100000],
  ["CLONE_CHILD_CLEARTID", 0x200000],
  ["CLONE_DETACHED", 0x400000],
  ["CLONE_UNTRACED", 0x800000],
  ["CLONE_CHILD_SETTID", 0x1000000],
  ["CLONE_NEWCGROUP", 0x2000000],
  ["CLONE_NEWUTS", 0x4000000],
  ["CLONE_NEWIPC", 0x8000000],
  ["CLONE_NEWUSER", 0x10000000],
  ["CLONE_NEWPID", 0x20000000],
  ["CLONE_NEWNET", 0x40000000],
  ["CLONE_IO", 0x80000000],
];
export const SA_FLAGS: Flags = [
  ["SA_NOCLDSTOP", 1],
  ["SA_NOCLDWAIT", 2],
  ["SA_SIGINFO", 4],
  ["SA_EXPOSE_TAGBITS", 0x800],
  ["SA_ONSTACK", 0x08000000],
  ["SA_RESTART", 0x10000000],
  ["SA_NODEFER", 0x40000000],
  ["SA_RESETHAND", 0x80000000],
];
export const POLL_FLAGS: Flags = [
  ["POLLIN", 0x1],
  ["POLLPRI", 0x2],
  ["POLLOUT", 0x4],
  ["POLLERR", 0x8],
  ["POLLHUP", 0x10],
  ["POLLNVAL", 0x20],
  ["POLLRDNORM", 0x40],
  ["POLLRDBAND", 0x80],
  ["POLLWRNORM", 0x100],
  ["POLLWRBAND", 0x200],
  ["POLLRDHUP", 0x2000],
];
export const AT_FLAGS: Flags = [
  ["AT_SYMLINK_NOFOLLOW", 0x100],
  ["AT_REMOVEDIR", 0x200],
  ["AT_SYMLINK_FOLLOW", 0x400],
  ["AT_NO_AUTOMOUNT", 0x800],
  ["AT_EMPTY_PATH", 0x1000],
];
export const WAIT_FLAGS: Flags = [
  ["WNOHANG", 1],
  ["WSTOPPED", 2],
  ["WEXITED", 4],
  ["WCONTINUED", 8],
  ["WNOWAIT", 0x1000000],
  ["__WNOTHREAD", 0x20000000],
  ["__WALL", 0x40000000],
  ["__WCLONE", 0x80000000],
];
export const IPC_FLAGS: Flags = [
  ["IPC_CREAT", 0o1000],
  ["IPC_EXCL", 0o2000],
  ["IPC_NOWAIT", 0o4000],
];
export const SHM_FLAGS: Flags = [
  ["SHM_RDONLY", 0o10000],
  ["SHM_RND", 0o20000],
  ["SHM_REMAP", 0o40000],
  ["SHM_EXEC", 0o100000],
];

export const GRND_FLAGS: Flags = [
  ["GRND_NONBLOCK", 1],
  ["GRND_RANDOM", 2],
  ["GRND_INSECURE", 4],
];
export const FD_FLAGS: Flags = [["FD_CLOEXEC", 1]];
/** Values of st_mode's type bits. */
export const FILE_TYPES: Names = {
  0o140000: "S_IFSOCK",
  0o120000: "S_IFLNK",
  0o100000: "S_IFREG",
  0o060000: "S_IFBLK",
  0o040000: "S_IFDIR",
  0o020000: "S_IFCHR",
  0o010000: "S_IFIFO",
};

/** Names of numbers that are not bits. */
export type Names = Readonly<Record<number, string>>;

const numbered = (names: string, from = 0): Names =>
  Object.fromEntries(names.split(" ").map((name, i) => [from + i, name]));

export const FUTEX_OPS = numbered(
  "WAIT WAKE FD REQUEUE CMP_REQUEUE WAKE_OP LOCK_PI UNLOCK_PI TRYLOCK_PI WAIT_BITSET WAKE_BITSET WAIT_REQUEUE_PI " +
    "CMP_REQUEUE_PI LOCK_PI2",
);
export const CLOCKS = numbered(
  "CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW " +
    "CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_10 CLOCK_TAI",
);
export const ITIMERS = numbered("ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF");
export const MASK_HOW = numbered("SIG_BLOCK SIG_UNBLOCK SIG_SETMASK");
export const WHENCE = numbered("SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE");
export const EPOLL_OPS = numbered("EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD", 1);
export const PTRACE_REQUESTS: Names = {
  0: "PTRACE_TRACEME",
  1: "PTRACE_PEEKTEXT",
  2: "PTRACE_PEEKDATA",
  4: "PTRACE_POKETEXT",
  5: "PTRACE_POKEDATA",
  7: "PTRACE_CONT",
  8: "PTRACE_KILL",
  9: "PTRACE_SINGLESTEP",
  16: "PTRACE_ATTACH",
  17: "PTRACE_DETACH",
  24: "PTRACE_SYSCALL",
  31: "PTRACE_SYSEMU",
  0x4200: "PTRACE_SETOPTIONS",
  0x4201: "PTRACE_GETEVENTMSG",
  0x4202: "PTRACE_GETSIGINFO",
  0x4203: "PTRACE_SETSIGINFO",
  0x4204: "PTRACE_GETREGSET",
  0x4205: "PTRACE_SETREGSET",
  0x4206: "PTRACE_SEIZE",
  0x4207: "PTRACE_INTERRUPT",
  0x4208: "PTRACE_LISTEN",
  0x4209: "PTRACE_PEEKSIGINFO",
  0x420a: "PTRACE_GETSIGMASK",
  0x420b: "PTRACE_SETSIGMASK",
  0x420e: "PTRACE_GET_SYSCALL_INFO",
  0x420f: "PTRACE_GET_RSEQ_CONFIGURATION",
};
export const IPC_COMMANDS: Names = {
  ...numbered("IPC_RMID IPC_SET IPC_STAT IPC_INFO"),
  ...numbered("SHM_LOCK SHM_UNLOCK SHM_STAT SHM_INFO SHM_STAT_ANY", 11),
};
export const SEM_COMMANDS: Names = {
  ...numbered("IPC_RMID IPC_SET IPC_STAT IPC_INFO"),
  ...numbered("GETPID GETVAL GETALL GETNCNT GETZCNT SETVAL SETALL SEM_STAT SEM_INFO SEM_STAT_ANY", 11),
};
export const FCNTLS: Names = {
  ...numbered("F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG"),
  ...numbered("F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW", 36),
  ...numbered("F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_QUERY", 1024),
  ...numbered("F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS", 1030),
};
export const RLIMITS = numbered(
  "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK " +
    "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME",
);
export const IOCTLS: Names = {
  ...numbered("TCGETS TCSETS TCSETSW TCSETSF TCGETA TCSETA TCSETAW TCSETAF TCSBRK TCXONC TCFLSH", 0x5401),
  ...numbered("TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ", 0x540c),
  ...numbered("FIONREAD", 0x541b),
  ...numbered("TIOCPKT FIONBIO TIOCNOTTY TIOCSETD TIOCGETD TCSBRKP", 0x5420),
  ...numbered("TIOCGSID", 0x5429),
  ...numbered("FIONCLEX FIOCLEX FIOASYNC", 0x5450),
  0x80045430: "TIOCGPTN",
  0x40045431: "TIOCSPTLCK",
  0x40287800: "MSHAREFS_CREATE_MAPPING",
  0x40107801: "MSHAREFS_UNMAP",
};
export const MADVICE: Names = {
  ...numbered("MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED"),
  ...numbered(
    "MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE " +
      "MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ " +
      "MADV_POPULATE_WRITE MADV_DONTNEED_LOCKED MADV_COLLAPSE",
    8,
  ),
};
