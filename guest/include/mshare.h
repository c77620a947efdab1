/* mshare.h: the system calls of mshare, shared memory whose page tables are shared too.
 *
 * A *region* is an address space of its own that objects (anonymous memory, memfds, files) are mapped into with mshare_map().
 * A process attaches a *window* on it: from then on it sees what the region holds, through the region's own page tables.
 * What is changed in the region is changed for every process attached, before the call returns.
 *
 *     int fd = mshare_create(O_CLOEXEC);
 *     ftruncate(fd, 256 << 20);
 *     struct mshare_map pool = { .size = 256 << 20, .prot = PROT_READ | PROT_WRITE,
 *                                .flags = MAP_SHARED | MAP_ANONYMOUS, .obj_fd = -1 };
 *     mshare_map(fd, &pool, sizeof(pool));
 *     char *window = mshare_attach(fd, 0, 0, NULL, 0);
 *
 * Needs only syscall(2), errno and these headers; C and C++. Sizes and offsets are bytes; an offset counts from the region's start.
 * All calls return -1 and set errno if they fail (mshare_attach: MAP_FAILED). Common to all calls that take a descriptor:
 * EBADF (not open, or O_PATH), EINVAL (not a region), ENXIO (the owner is gone; stat and detach still work).
 * The numbers are provisional: riscv64 Linux has not assigned any. A kernel without mshare answers ENOSYS.
 */
#ifndef MSHARE_H
#define MSHARE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define __NR_mshare_create 1000
#define __NR_mshare_attach 1001
#define __NR_mshare_detach 1002
#define __NR_mshare_map 1003
#define __NR_mshare_unmap 1004
#define __NR_mshare_protect 1005
#define __NR_mshare_advise 1006
#define __NR_mshare_lock 1007
#define __NR_mshare_unlock 1008
#define __NR_mshare_sync 1009
#define __NR_mshare_remap 1010
#define __NR_mshare_stat 1011
#define __NR_mshare_transfer 1012

/* Offsets and addresses of windows are multiples of this. */
#define MSHARE_GRANULE (2UL << 20)

/* mshare_attach() flags */
#define MSHARE_FIXED 0x01u       /* exactly at addr: EINVAL off the granule, EEXIST if anything is mapped there */
#define MSHARE_RDONLY 0x02u      /* a window that cannot be written, whatever the region's objects permit */
#define MSHARE_PRIVATE 0x04u     /* copy-on-write: what this process writes stays its own */
#define MSHARE_POPULATE 0x08u    /* link all tables that exist now, rather than at the first fault */
#define MSHARE_PASSTHROUGH 0x10u /* mprotect, madvise, munmap, mlock, munlock and msync inside act on the region */

/* fcntl(fd, F_ADD_SEALS) on a region also takes F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW */
#define MSHARE_SEAL_MAP 0x100     /* no map, unmap, remap, nor advice that removes */
#define MSHARE_SEAL_PROTECT 0x200 /* no protect */

/* mshare_stat.flags */
#define MSHARE_STAT_OWNED 1u    /* the region has an owner */
#define MSHARE_STAT_NO_SHARE 2u /* private tables stand behind the calls (`mshare run --no-share`) */

/* What mshare_map() maps, and where. */
struct mshare_map {
	__u64 offset;     /* in the region: exact with MAP_FIXED or MAP_FIXED_NOREPLACE, else a hint; a multiple of the page size */
	__u64 size;       /* rounded up to a page */
	__u64 obj_offset; /* in the object; a multiple of the page size, 0 if anonymous */
	__u32 prot;       /* PROT_READ | PROT_WRITE | PROT_EXEC, or PROT_NONE */
	__u32 flags;      /* MAP_SHARED, with MAP_ANONYMOUS or without, and others of mmap(2) */
	__s32 obj_fd;     /* regular file, memfd or hugetlbfs file; -1 if anonymous */
	__u32 reserved;   /* 0 */
};

/* What mshare_remap() moves or resizes. */
struct mshare_remap {
	__u64 old_offset, old_size, new_offset, new_size;
	__u32 flags;    /* MREMAP_MAYMOVE, MREMAP_FIXED */
	__u32 reserved; /* 0 */
};

/* What mshare_stat() reports. */
struct mshare_stat {
	__u64 size;             /* of the region, bytes */
	__u64 granule;          /* MSHARE_GRANULE as this kernel has it, bytes */
	__u64 mapped;           /* bytes of the region that objects cover */
	__u64 resident;         /* bytes present in its tables, each frame once */
	__u64 table_bytes;      /* page tables of the read-write root */
	__u64 view_table_bytes; /* page tables of the read-only root */
	__u64 faults;           /* faults resolved in the region */
	__u64 links;            /* entries of processes' tables that now point at the region's */
	__u32 owner;            /* process id, or 0 */
	__u32 windows;          /* windows that are attached, dead ones not counted */
	__u32 sharers;          /* address spaces that have such a window */
	__u32 flags;            /* MSHARE_STAT_* */
};

long syscall(long number, ...);

/* Creates a region that the calling process owns. flags: 0 or O_CLOEXEC (else EINVAL). Returns a descriptor (O_RDWR).
 * Give it a size with ftruncate() before anything else. The region is emptied when the owner exits, or has neither a descriptor
 * nor a window left. */
static inline int mshare_create(unsigned int flags)
{
	return (int)syscall(__NR_mshare_create, flags);
}

/* Attaches a window on [offset, offset + size) of the region and returns its address. offset: a multiple of the granule. size 0: to
 * the region's end, and it follows its growth. addr: NULL, a hint, or with MSHARE_FIXED the address. EINVAL (past the end, unaligned, no size yet,
 * flags), EACCES (a read-only descriptor without RDONLY or PRIVATE; a write-only one), EEXIST, ENOMEM (no room, RLIMIT_AS). */
static inline void *mshare_attach(int fd, __u64 offset, __u64 size, void *addr, unsigned int flags)
{
	return (void *)syscall(__NR_mshare_attach, fd, offset, size, addr, flags);
}

/* Detaches the window that starts at addr, else EINVAL. */
static inline int mshare_detach(void *addr)
{
	return (int)syscall(__NR_mshare_detach, addr);
}

/* Maps an object into the region, as mmap(2) would; usize is sizeof(*args). Returns its offset. Errors as mmap(2), and E2BIG (unknown
 * bytes after the structure are not zero), EBADF (the descriptor is read-only), EFAULT. */
static inline __s64 mshare_map(int fd, const struct mshare_map *args, size_t usize)
{
	return (__s64)syscall(__NR_mshare_map, fd, args, usize);
}

/* Unmaps [offset, offset + size) of the region for every process, as munmap(2). Holes are fine. */
static inline int mshare_unmap(int fd, __u64 offset, __u64 size)
{
	return (int)syscall(__NR_mshare_unmap, fd, offset, size);
}

/* Sets the protection of [offset, offset + size) for every process, as mprotect(2). ENOMEM if there is a hole. */
static inline int mshare_protect(int fd, __u64 offset, __u64 size, int prot)
{
	return (int)syscall(__NR_mshare_protect, fd, offset, size, prot);
}

/* Gives advice on [offset, offset + size), as madvise(2). */
static inline int mshare_advise(int fd, __u64 offset, __u64 size, int advice)
{
	return (int)syscall(__NR_mshare_advise, fd, offset, size, advice);
}

/* Locks [offset, offset + size) into memory, as mlock2(2). flags: 0 or MLOCK_ONFAULT. The owner's RLIMIT_MEMLOCK is charged. */
static inline int mshare_lock(int fd, __u64 offset, __u64 size, unsigned int flags)
{
	return (int)syscall(__NR_mshare_lock, fd, offset, size, flags);
}

/* Takes back mshare_lock(), as munlock(2). */
static inline int mshare_unlock(int fd, __u64 offset, __u64 size)
{
	return (int)syscall(__NR_mshare_unlock, fd, offset, size);
}

/* Writes file objects in [offset, offset + size) back, as msync(2). flags: MS_SYNC or MS_ASYNC, and MS_INVALIDATE. */
static inline int mshare_sync(int fd, __u64 offset, __u64 size, int flags)
{
	return (int)syscall(__NR_mshare_sync, fd, offset, size, flags);
}

/* Moves or resizes an object within the region, as mremap(2); usize is sizeof(*args). Returns its new offset. */
static inline __s64 mshare_remap(int fd, const struct mshare_remap *args, size_t usize)
{
	return (__s64)syscall(__NR_mshare_remap, fd, args, usize);
}

/* Reports on the region; usize is sizeof(*st). Works after the owner is gone too. */
static inline int mshare_stat(int fd, struct mshare_stat *st, size_t usize)
{
	return (int)syscall(__NR_mshare_stat, fd, st, usize);
}

/* Hands the region and what it is charged for to the process that pidfd names. Only the owner may (else EPERM); the new one needs the
 * same user id and a window on the region (else EINVAL). */
static inline int mshare_transfer(int fd, int pidfd)
{
	return (int)syscall(__NR_mshare_transfer, fd, pidfd);
}

#endif
