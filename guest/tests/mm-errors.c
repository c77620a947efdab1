/* mm-errors.c: what every memory call says to every kind of argument and memory, one line each, to be compared with Linux. Addresses are relative. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 4096UL
#define ARENA 0x1000000000UL
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define F_SEAL_WRITE_ 8
#define F_SEAL_FUTURE_WRITE_ 16

static int memfd, rofd, wofd, dirfd_, pipefd[2], nullfd, zerofd;
static const unsigned long top = 1UL << 47;

static long say(const char *what, long result)
{
	if (result == -1)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else if ((unsigned long)result >= ARENA && (unsigned long)result < ARENA + 4096 * P)
		printf("%s: +%lu\n", what, ((unsigned long)result - ARENA) / P);
	else if ((unsigned long)result >= 65536)
		printf("%s: elsewhere\n", what);
	else
		printf("%s: %ld\n", what, result);
	return result;
}

static long map(unsigned long addr, unsigned long size, long prot, long flags, long fd, unsigned long offset)
{
	return syscall(SYS_mmap, addr, size, prot, flags, fd, offset);
}

/* Where the programs run whose answers are recorded, only root may look at the file tree. */
static void maps(void)
{
	if (geteuid() != 0)
		return;
	FILE *f = fopen("/proc/self/maps", "r");
	char text[512], prot[8], device[16];
	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end, offset, inode;
		int path = 0;
		sscanf(text, "%lx-%lx %7s %lx %15s %lu %n", &start, &end, prot, &offset, device, &inode, &path);
		if (end <= ARENA || start >= ARENA + 4096 * P)
			continue;
		char *name = path ? text + path : (char *)"";
		name[strcspn(name, "\n")] = 0;
		printf("    +%lu +%lu %s %lx %s\n", (start - ARENA) / P, (end - ARENA) / P, prot, offset, name);
	}
	fclose(f);
}

static void clear(void)
{
	munmap((void *)ARENA, 4096 * P);
}

static long status_of(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char text[256];
	long value = -1;
	while (fgets(text, sizeof(text), f))
		if (strncmp(text, field, strlen(field)) == 0)
			value = strtol(text + strlen(field) + 1, NULL, 10);
	fclose(f);
	return value;
}

static long base[4];
static const char *const fields[] = { "VmSize", "VmLck", "VmData", "VmStk" };

static void account(void)
{
	for (int i = 0; i < 4; i++)
		base[i] = status_of(fields[i]);
}

static void accounts(const char *what)
{
	printf("%s:", what);
	for (int i = 0; i < 4; i++)
		printf(" %s %+ld", fields[i], status_of(fields[i]) - base[i]);
	printf("\n");
}

static void test_mmap(void)
{
	const long anon = MAP_ANONYMOUS | MAP_PRIVATE;
	char text[64];
	printf("mmap\n");
	say("length 0", map(0, 0, PROT_READ, anon, -1, 0));
	say("length 0, bad fd", map(0, 0, PROT_READ, MAP_PRIVATE, -1, 0));
	say("length 2^64 - 1", map(0, -1UL, PROT_READ, anon, -1, 0));
	say("length 2^63", map(0, 1UL << 63, PROT_READ, anon, -1, 0));
	say("length 2^47", map(0, 1UL << 47, PROT_NONE, anon, -1, 0));
	say("length 2^46 reserved", map(0, 1UL << 46, PROT_READ | PROT_WRITE, anon, -1, 0));
	say("offset 1", map(ARENA, P, PROT_READ, anon, -1, 1));
	say("offset -4096 anon", map(ARENA, P, PROT_READ, anon | MAP_FIXED, -1, -P));
	say("offset -4096 file", map(ARENA, P, PROT_READ, MAP_PRIVATE | MAP_FIXED, memfd, -P));
	say("offset 2^63 - 4096 file", map(ARENA, P, PROT_READ, MAP_PRIVATE | MAP_FIXED, memfd, (1UL << 63) - P));
	say("offset 2^63 - 8192 file", map(ARENA, P, PROT_READ, MAP_PRIVATE | MAP_FIXED, memfd, (1UL << 63) - 2 * P));
	say("fixed at 0", map(0, P, PROT_READ, anon | MAP_FIXED, -1, 0));
	say("fixed at 2^47 - 4096", map(top - P, P, PROT_READ, anon | MAP_FIXED, -1, 0));
	say("fixed at 2^47", map(top, P, PROT_READ, anon | MAP_FIXED, -1, 0));
	say("fixed unaligned", map(ARENA + 1, P, PROT_READ, anon | MAP_FIXED, -1, 0));
	say("fixed over 2^47", map(top - P, 2 * P, PROT_READ, anon | MAP_FIXED, -1, 0));
	say("hint over 2^47", map(top - P, 2 * P, PROT_READ, anon, -1, 0));
	say("hint unaligned", map(ARENA + 5 * P + 77, P, PROT_READ, anon, -1, 0));
	say("hint taken", map(ARENA + 5 * P, P, PROT_READ, anon, -1, 0));
	say("noreplace taken", map(ARENA + 5 * P, P, PROT_READ, anon | MAP_FIXED_NOREPLACE, -1, 0));
	say("noreplace free", map(ARENA + 6 * P, P, PROT_READ, anon | MAP_FIXED_NOREPLACE, -1, 0));
	for (int type = 0; type < 16; type++) {
		snprintf(text, sizeof(text), "anon type %d", type);
		say(text, map(ARENA + 10 * P, P, PROT_READ, type | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		snprintf(text, sizeof(text), "file type %d", type);
		say(text, map(ARENA + 10 * P, P, PROT_READ, type | MAP_FIXED, memfd, 0));
	}
	for (int bit = 4; bit < 32; bit++) {
		if ((1 << bit) == MAP_HUGETLB)
			continue;
		snprintf(text, sizeof(text), "anon flag %x", 1u << bit);
		say(text, map(ARENA + 10 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (1 << bit), -1, 0));
		snprintf(text, sizeof(text), "file shared validate flag %x", 1u << bit);
		say(text, map(ARENA + 10 * P, P, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED | (1 << bit), memfd, 0));
		snprintf(text, sizeof(text), "file private flag %x", 1u << bit);
		say(text, map(ARENA + 10 * P, P, PROT_READ, MAP_PRIVATE | MAP_FIXED | (1 << bit), memfd, 0));
		snprintf(text, sizeof(text), "anon shared flag %x", 1u << bit);
		say(text, map(ARENA + 10 * P, P, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | (1 << bit), -1, 0));
	}
	say("prot 0x70", map(ARENA + 10 * P, P, 0x70, anon | MAP_FIXED, -1, 0));
	say("hugetlb", map(0, 1 << 21, PROT_READ, anon | MAP_HUGETLB, -1, 0));
	say("hugetlb 16 KiB", map(0, 1 << 21, PROT_READ, anon | MAP_HUGETLB | (14 << 26), -1, 0));
	say("hugetlb of a file", map(0, 1 << 21, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, memfd, 0));
	const struct { const char *name; int fd; } files[] = { { "closed", 99 }, { "read-only", rofd }, { "write-only", wofd }, { "directory", dirfd_ }, { "pipe", pipefd[0] },
		{ "null", nullfd }, { "zero", zerofd } };
	for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++)
		for (int prot = 0; prot < 8; prot++)
			for (int type = MAP_SHARED; type <= MAP_PRIVATE; type++) {
				snprintf(text, sizeof(text), "%s %s prot %d", files[i].name, type == MAP_SHARED ? "shared" : "private", prot);
				say(text, map(ARENA + 10 * P, P, prot, type | MAP_FIXED, files[i].fd, 0));
			}
	maps();
	clear();
}

static void kinds(void)
{
	/* +0 private, +2 shared, +4 file private, +6 file shared, +8 read-only file shared, +10 none, +12 read-only private, +14 locked, +16 beyond the file's end, +18 executable, +20 hole */
	const long fixed = MAP_FIXED;
	const int rw = PROT_READ | PROT_WRITE;
	clear();
	map(ARENA, 2 * P, rw, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
	map(ARENA + 2 * P, 2 * P, rw, MAP_SHARED | MAP_ANONYMOUS | fixed, -1, 0);
	map(ARENA + 4 * P, 2 * P, rw, MAP_PRIVATE | fixed, memfd, 0);
	map(ARENA + 6 * P, 2 * P, rw, MAP_SHARED | fixed, memfd, 0);
	map(ARENA + 8 * P, 2 * P, PROT_READ, MAP_SHARED | fixed, rofd, 0);
	map(ARENA + 10 * P, 2 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
	map(ARENA + 12 * P, 2 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
	map(ARENA + 14 * P, 2 * P, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | fixed, -1, 0);
	map(ARENA + 16 * P, 2 * P, rw, MAP_SHARED | fixed, memfd, 100 * P);
	map(ARENA + 18 * P, 2 * P, PROT_READ | PROT_EXEC, MAP_PRIVATE | fixed, memfd, 0);
}

static const char *const kind_names[] = { "private", "shared", "file private", "file shared", "read-only shared", "none", "read-only private", "locked", "beyond", "executable", "hole" };

static void test_madvise(void)
{
	char text[64];
	printf("madvise\n");
	for (int advice = -1; advice < 26; advice++) {
		if (advice == 25)
			continue; /* MADV_COLLAPSE: depends on huge pages */
		for (int kind = 0; kind < 11; kind++) {
			kinds();
			snprintf(text, sizeof(text), "advice %d %s", advice, kind_names[kind]);
			say(text, madvise((void *)(ARENA + (unsigned long)kind * 2 * P), P, advice));
		}
	}
	kinds();
	say("unaligned", madvise((void *)(ARENA + 1), P, MADV_NORMAL));
	say("length 0", madvise((void *)ARENA, 0, MADV_DONTNEED));
	say("length -1", madvise((void *)ARENA, -1UL, MADV_DONTNEED));
	say("length -4096", madvise((void *)ARENA, -P, MADV_DONTNEED));
	say("length -4096 populate", madvise((void *)ARENA, -P, MADV_POPULATE_READ));
	say("over a hole", madvise((void *)(ARENA + 18 * P), 4 * P, MADV_DONTNEED));
	say("over a hole populate", madvise((void *)(ARENA + 18 * P), 4 * P, MADV_POPULATE_READ));
	maps();
	clear();
}

static void test_mprotect(void)
{
	char text[64];
	printf("mprotect\n");
	for (int kind = 0; kind < 11; kind++)
		for (int prot = 0; prot < 8; prot++) {
			kinds();
			snprintf(text, sizeof(text), "%s prot %d", kind_names[kind], prot);
			say(text, mprotect((void *)(ARENA + (unsigned long)kind * 2 * P), P, prot));
		}
	kinds();
	say("unaligned", mprotect((void *)(ARENA + 1), P, PROT_READ));
	say("unaligned length 0", mprotect((void *)(ARENA + 1), 0, PROT_READ));
	say("length 0", mprotect((void *)ARENA, 0, 0x7000));
	say("length -1", mprotect((void *)ARENA, -1UL, PROT_READ));
	say("length -1 bad prot", mprotect((void *)ARENA, -1UL, 0x100));
	say("sem", mprotect((void *)ARENA, P, PROT_READ | 8));
	say("bad prot", mprotect((void *)ARENA, P, 0x10));
	say("grows both", mprotect((void *)ARENA, P, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
	say("grows down, not a stack", mprotect((void *)ARENA, P, PROT_READ | PROT_GROWSDOWN));
	say("grows up", mprotect((void *)ARENA, P, PROT_READ | PROT_GROWSUP));
	map(ARENA + 40 * P, 3 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	say("grows down", mprotect((void *)(ARENA + 41 * P), P, PROT_READ | PROT_GROWSDOWN));
	say("over a hole", mprotect((void *)(ARENA + 18 * P), 4 * P, PROT_READ));
	say("from a hole", mprotect((void *)(ARENA + 20 * P), 21 * P, PROT_READ));
	maps();
	clear();
}

static void test_mremap(void)
{
	char text[64];
	printf("mremap\n");
	for (int kind = 0; kind < 11; kind++)
		for (int flags = 0; flags < 9; flags++) {
			kinds();
			unsigned long from = ARENA + (unsigned long)kind * 2 * P, to = ARENA + 64 * P;
			snprintf(text, sizeof(text), "%s flags %d same", kind_names[kind], flags);
			say(text, syscall(SYS_mremap, from, P, P, flags, to));
			kinds();
			snprintf(text, sizeof(text), "%s flags %d grow", kind_names[kind], flags);
			say(text, syscall(SYS_mremap, from, 2 * P, 5 * P, flags, to));
			kinds();
			snprintf(text, sizeof(text), "%s flags %d from 0", kind_names[kind], flags);
			say(text, syscall(SYS_mremap, from, 0, P, flags, to));
			kinds();
			snprintf(text, sizeof(text), "%s flags %d shrink", kind_names[kind], flags);
			say(text, syscall(SYS_mremap, from, 2 * P, P, flags, to));
		}
	kinds();
	say("two VMAs", syscall(SYS_mremap, ARENA, 4 * P, 5 * P, MREMAP_MAYMOVE, 0));
	say("two VMAs fixed", syscall(SYS_mremap, ARENA, 4 * P, 4 * P, 3, ARENA + 64 * P));
	say("two VMAs same", syscall(SYS_mremap, ARENA, 4 * P, 4 * P, 0, 0));
	say("two VMAs shrink", syscall(SYS_mremap, ARENA, 4 * P, 3 * P, 0, 0));
	say("new size 0", syscall(SYS_mremap, ARENA, P, 0, 0, 0));
	say("new size -1", syscall(SYS_mremap, ARENA, P, -1UL, MREMAP_MAYMOVE, 0));
	say("new size 2^48", syscall(SYS_mremap, ARENA, P, 1UL << 48, MREMAP_MAYMOVE, 0));
	say("old size -1", syscall(SYS_mremap, ARENA, -1UL, P, MREMAP_MAYMOVE, 0));
	say("to unaligned", syscall(SYS_mremap, ARENA, P, P, 3, ARENA + 64 * P + 1));
	say("to overlapping", syscall(SYS_mremap, ARENA, 2 * P, 2 * P, 3, ARENA + P));
	say("to 0", syscall(SYS_mremap, ARENA, P, P, 3, 0));
	say("to 2^47", syscall(SYS_mremap, ARENA, P, P, 3, top));
	say("to -4096", syscall(SYS_mremap, ARENA, P, P, 3, -P));
	maps();
	clear();
}

/* Addresses that the kernel has: whether they are aligned still counts. */
static void test_far_addresses(void)
{
	printf("far away\n");
	unsigned char vector[4];
	for (int odd = 0; odd < 3; odd++) {
		unsigned long address = (-16 * P) + (unsigned long[]){ 0, 1, P - 1 }[odd];
		say("mprotect", mprotect((void *)address, P, PROT_READ));
		say("munmap", munmap((void *)address, P));
		say("madvise", madvise((void *)address, P, MADV_NORMAL));
		say("msync", msync((void *)address, P, MS_SYNC));
		say("mremap", syscall(SYS_mremap, address, P, P, 0));
		say("mremap, there", syscall(SYS_mremap, ARENA, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, address));
		say("mincore", mincore((void *)address, P, vector));
		say("mlock", mlock((void *)address, P));
	}
}

static void test_others(void)
{
	char text[64];
	unsigned char vector[16];
	printf("munmap\n");
	say("length 0", munmap((void *)ARENA, 0));
	say("unaligned", munmap((void *)(ARENA + 1), P));
	say("length -1", munmap((void *)ARENA, -1UL));
	say("all", munmap((void *)top, P));
	say("at the end", munmap((void *)(top - P), P));
	say("over the end", munmap((void *)(top - P), 2 * P));
	printf("msync\n");
	for (int kind = 0; kind < 11; kind++)
		for (int flags = 0; flags < 9; flags++) {
			kinds();
			snprintf(text, sizeof(text), "%s flags %d", kind_names[kind], flags);
			say(text, msync((void *)(ARENA + (unsigned long)kind * 2 * P), P, flags));
		}
	kinds();
	say("unaligned", msync((void *)(ARENA + 1), P, MS_SYNC));
	say("length 0", msync((void *)ARENA, 0, MS_SYNC));
	say("length 0 in a hole", msync((void *)(ARENA + 100 * P), 0, MS_SYNC));
	say("length -1", msync((void *)ARENA, -1UL, MS_SYNC));
	say("length -4096", msync((void *)ARENA, -P, MS_SYNC));
	for (int flags = 0; flags < 5; flags++)
		say("over a hole", msync((void *)(ARENA + 18 * P), 4 * P, flags));
	printf("mincore\n");
	for (int kind = 0; kind < 11; kind++) {
		kinds();
		memset(vector, 9, sizeof(vector));
		say(kind_names[kind], mincore((void *)(ARENA + (unsigned long)kind * 2 * P), 2 * P, vector));
		printf("    %d%d%d\n", vector[0], vector[1], vector[2]);
	}
	say("unaligned", mincore((void *)(ARENA + 1), P, vector));
	say("length 0", mincore((void *)ARENA, 0, vector));
	say("length 0 bad vector", mincore((void *)ARENA, 0, (void *)-1));
	say("length 1", mincore((void *)ARENA, 1, vector));
	say("length -1", mincore((void *)ARENA, -1UL, vector));
	say("beyond the user half", mincore((void *)top, P, vector));
	say("bad vector", mincore((void *)ARENA, P, (void *)16));
	say("bad vector in a hole", mincore((void *)(ARENA + 100 * P), P, (void *)16));
	say("over a hole", mincore((void *)(ARENA + 18 * P), 4 * P, vector));
	clear();
}

static void lock_cases(void)
{
	char text[64];
	for (int kind = 0; kind < 11; kind++) {
		unsigned long at = ARENA + (unsigned long)kind * 2 * P;
		kinds();
		snprintf(text, sizeof(text), "mlock %s", kind_names[kind]);
		say(text, mlock((void *)at, P));
		snprintf(text, sizeof(text), "mlock2 onfault %s", kind_names[kind]);
		say(text, syscall(SYS_mlock2, at, P, 1));
		snprintf(text, sizeof(text), "munlock %s", kind_names[kind]);
		say(text, munlock((void *)at, 2 * P));
	}
	clear();
	for (int flags = 0; flags < 16; flags++) {
		snprintf(text, sizeof(text), "mlockall %d", flags);
		if (say(text, mlockall(flags)) == 0) {
			map(ARENA, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			say("    mmap", map(ARENA, 64 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
			munlockall();
		}
	}
	clear();
	say("mmap locked", map(ARENA, 16 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0));
	say("mlock 8 pages", mlock((void *)ARENA, 8 * P));
	say("mlock 8 pages again", mlock((void *)ARENA, 8 * P));
	say("mlock a part of 9 pages", mlock((void *)(ARENA + P), 8 * P));
	say("mremap grow", syscall(SYS_mremap, ARENA, 8 * P, 9 * P, MREMAP_MAYMOVE, 0));
	munlockall();
	clear();
	map(ARENA, 4 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	say("mlock2 flags 2", syscall(SYS_mlock2, ARENA, P, 2));
	say("mlock length 0", mlock((void *)ARENA, 0));
	say("mlock length -1", mlock((void *)ARENA, -1UL));
	say("mlock length -4096", mlock((void *)ARENA, -P));
	say("munlock length -4096", munlock((void *)ARENA, -P));
	say("mlock unaligned", mlock((void *)(ARENA + 100), P));
	maps();
	clear();
}

/* In a child, without privileges. */
static void as_user(const char *what, unsigned long memlock, void (*run)(void))
{
	printf("%s\n", what);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit limit = { memlock, memlock };
		setrlimit(RLIMIT_MEMLOCK, &limit);
		if (setuid(1000))
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		run();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void test_limits(void)
{
	struct rlimit old, limit;
	printf("limits\n");
	fflush(stdout);
	getrlimit(RLIMIT_AS, &old);
	limit = old;
	limit.rlim_cur = (unsigned long)status_of("VmSize") * 1024 + 10 * P;
	setrlimit(RLIMIT_AS, &limit);
	long too_much = map(ARENA, 11 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), error = errno;
	long fits = map(ARENA, 10 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long again = map(ARENA, 10 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long grown = syscall(SYS_mremap, ARENA, 10 * P, 11 * P, 0, 0), error2 = errno;
	setrlimit(RLIMIT_AS, &old);
	errno = (int)error;
	say("RLIMIT_AS + 1", too_much);
	say("RLIMIT_AS", fits);
	say("replaced", again);
	errno = (int)error2;
	say("grown", grown);
	clear();
	getrlimit(RLIMIT_DATA, &old);
	limit = old;
	limit.rlim_cur = (unsigned long)status_of("VmData") * 1024 + 4 * P;
	setrlimit(RLIMIT_DATA, &limit);
	long data5 = map(ARENA, 5 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), e1 = errno;
	long shared5 = map(ARENA, 5 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long read5 = map(ARENA + 8 * P, 5 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long writable = mprotect((void *)(ARENA + 8 * P), 5 * P, PROT_READ | PROT_WRITE), e2 = errno;
	long part = mprotect((void *)(ARENA + 8 * P), 4 * P, PROT_READ | PROT_WRITE);
	char *before = sbrk(0);
	long broken = (long)sbrk(8 * (long)P), e3 = errno;
	setrlimit(RLIMIT_DATA, &old);
	errno = (int)e1;
	say("RLIMIT_DATA private", data5);
	say("RLIMIT_DATA shared", shared5);
	say("RLIMIT_DATA read-only", read5);
	errno = (int)e2;
	say("RLIMIT_DATA mprotect", writable);
	say("RLIMIT_DATA mprotect less", part);
	errno = (int)e3;
	say("RLIMIT_DATA brk", broken);
	printf("brk moved %d\n", (char *)sbrk(0) != before);
	clear();
}

static void test_seals(void)
{
	printf("seals\n");
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	char text[64];
	ftruncate(fd, 4 * (long)P);
	map(ARENA, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	say("write seal while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE_));
	say("future write seal while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE_));
	for (int prot = 0; prot < 4; prot++) {
		snprintf(text, sizeof(text), "future shared prot %d", prot);
		say(text, map(ARENA + 4 * P, P, prot, MAP_SHARED | MAP_FIXED, fd, 0));
		say("    made writable", mprotect((void *)(ARENA + 4 * P), P, PROT_READ | PROT_WRITE));
		snprintf(text, sizeof(text), "future private prot %d", prot);
		say(text, map(ARENA + 6 * P, P, prot, MAP_PRIVATE | MAP_FIXED, fd, 0));
		say("    made writable", mprotect((void *)(ARENA + 6 * P), P, PROT_READ | PROT_WRITE));
	}
	say("old mapping made writable", mprotect((void *)ARENA, P, PROT_READ | PROT_WRITE));
	say("remove", madvise((void *)ARENA, P, MADV_REMOVE));
	maps();
	clear();
	close(fd);
	fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	ftruncate(fd, 4 * (long)P);
	say("write seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE_));
	for (int prot = 0; prot < 4; prot++) {
		snprintf(text, sizeof(text), "sealed shared prot %d", prot);
		say(text, map(ARENA + 4 * P, P, prot, MAP_SHARED | MAP_FIXED, fd, 0));
		say("    made writable", mprotect((void *)(ARENA + 4 * P), P, PROT_READ | PROT_WRITE));
	}
	maps();
	clear();
	close(fd);
}

static void test_mseal(void)
{
	printf("mseal\n");
	/* A child: what is sealed stays. */
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		const long fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
		map(ARENA, 3 * P, PROT_READ | PROT_WRITE, fixed, -1, 0);
		map(ARENA + 4 * P, 3 * P, PROT_READ, fixed, -1, 0);
		say("flags", syscall(SYS_mseal, ARENA, P, 1));
		say("unaligned", syscall(SYS_mseal, ARENA + 1, P, 0));
		say("length 0", syscall(SYS_mseal, ARENA, 0, 0));
		say("length -1", syscall(SYS_mseal, ARENA, -1UL, 0));
		say("over a hole", syscall(SYS_mseal, ARENA, 5 * P, 0));
		say("one", syscall(SYS_mseal, ARENA + P, P, 0));
		say("again", syscall(SYS_mseal, ARENA + P, P, 0));
		say("read-only", syscall(SYS_mseal, ARENA + 5 * P, P, 0));
		maps();
		say("munmap", munmap((void *)ARENA, 3 * P));
		say("munmap next to it", munmap((void *)ARENA, P));
		say("mprotect", mprotect((void *)(ARENA + P), P, PROT_READ));
		say("mprotect same", mprotect((void *)(ARENA + P), P, PROT_READ | PROT_WRITE));
		say("mremap", syscall(SYS_mremap, ARENA + P, P, P, 3, ARENA + 100 * P));
		say("mmap over", map(ARENA + P, P, PROT_READ, fixed, -1, 0));
		say("mremap over", syscall(SYS_mremap, ARENA + 4 * P, P, P, 3, ARENA + P));
		for (int advice = 0; advice < 25; advice++)
			if (advice != 10 && advice != 18) {
				say("madvise writable", madvise((void *)(ARENA + P), P, advice));
				say("madvise read-only", madvise((void *)(ARENA + 5 * P), P, advice));
			}
		say("mlock", mlock((void *)(ARENA + P), P));
		maps();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void test_accounts(void)
{
	const long fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	printf("accounts\n");
	fflush(stdout);
	account();
	map(ARENA, 8 * P, PROT_READ | PROT_WRITE, fixed, -1, 0);
	accounts("private");
	mprotect((void *)ARENA, 2 * P, PROT_READ);
	accounts("read-only part");
	mprotect((void *)ARENA, P, PROT_READ | PROT_EXEC);
	accounts("executable part");
	mlock((void *)(ARENA + 2 * P), 3 * P);
	accounts("locked part");
	syscall(SYS_mremap, ARENA + 3 * P, P, 2 * P, 3, ARENA + 20 * P);
	accounts("locked part moved");
	map(ARENA + 1030 * P, 4 * P, PROT_READ | PROT_WRITE, fixed | MAP_GROWSDOWN, -1, 0);
	accounts("stack");
	*(volatile char *)(ARENA + 1029 * P) = 1;
	accounts("stack grown");
	map(ARENA + 40 * P, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0);
	accounts("shared locked");
	fflush(stdout);
	if (fork() == 0) {
		accounts("in a child");
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	syscall(SYS_mremap, ARENA + 40 * P, 4 * P, 4 * P, 7, ARENA + 60 * P);
	accounts("shared locked moved, not unmapped");
	munmap((void *)(ARENA + 40 * P), 2 * P);
	accounts("unmapped a part");
	madvise((void *)ARENA, P, MADV_DONTFORK);
	fflush(stdout);
	if (fork() == 0) {
		accounts("in a child without a page");
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	clear();
	accounts("nothing");
}

static long faults(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static void touch_pages(const char *what, unsigned long first, unsigned long count, int write)
{
	long before = faults();
	for (unsigned long i = 0; i < count; i++) {
		volatile char *p = (volatile char *)(ARENA + (first + i) * P);
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	long after = faults();
	printf("%s: %ld\n", what, after - before);
}

static void test_faults(void)
{
	printf("faults\n");
	const int rw = PROT_READ | PROT_WRITE;
	int fd = memfd_create("faults", 0);
	ftruncate(fd, 256 * (long)P);
	faults();
	map(ARENA, 64 * P, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	touch_pages("private read", 0, 64, 0);
	touch_pages("private write after read", 0, 64, 1);
	touch_pages("private write again", 0, 64, 1);
	madvise((void *)ARENA, 64 * P, MADV_DONTNEED);
	touch_pages("private write", 0, 64, 1);
	map(ARENA + 64 * P, 64 * P, rw, MAP_SHARED | MAP_FIXED, fd, 0);
	touch_pages("shared write of holes", 64, 64, 1);
	map(ARENA + 128 * P, 64 * P, rw, MAP_SHARED | MAP_FIXED, fd, 0);
	touch_pages("shared read of pages", 128, 64, 0);
	touch_pages("shared write after read", 128, 64, 1);
	map(ARENA + 128 * P, 64 * P, rw, MAP_SHARED | MAP_FIXED, fd, 64 * P);
	touch_pages("shared read of holes", 128, 64, 0);
	map(ARENA + 192 * P, 64 * P, rw, MAP_PRIVATE | MAP_FIXED, fd, 0);
	touch_pages("private file read", 192, 64, 0);
	touch_pages("private file write after read", 192, 64, 1);
	map(ARENA + 192 * P, 64 * P, rw, MAP_PRIVATE | MAP_FIXED, fd, 0);
	touch_pages("private file write", 192, 64, 1);
	map(ARENA + 261 * P, 40 * P, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 5 * P);
	touch_pages("shared read at an odd place", 261, 40, 0);
	map(ARENA + 320 * P, 64 * P, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
	touch_pages("populated read", 320, 64, 0);
	fflush(stdout);
	if (fork() == 0) {
		touch_pages("child private read", 0, 64, 0);
		touch_pages("child private write", 0, 64, 1);
		touch_pages("child shared read", 64, 64, 0);
		touch_pages("child shared write", 128, 64, 1);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	touch_pages("parent private write after the child", 0, 64, 1);
	close(fd);
	clear();
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	printf(" signal %d code %d at +%ld\n", sig, info->si_code, ((long)info->si_addr - (long)ARENA) / (long)P);
	fflush(stdout);
	_exit(0);
}

static void try_write(const char *what, unsigned long page)
{
	printf("%s:", what);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
		sigaction(SIGSEGV, &action, NULL);
		sigaction(SIGBUS, &action, NULL);
		*(volatile char *)(ARENA + page * P) = 1;
		printf(" ok\n");
		maps();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void test_stacks(void)
{
	const long grows = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, plain = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	const int rw = PROT_READ | PROT_WRITE;
	printf("stacks\n");
	map(ARENA + 1000 * P, 2 * P, rw, grows, -1, 0);
	try_write("just below", 999);
	try_write("far below", 500);
	map(ARENA + 700 * P, P, rw, plain, -1, 0);
	try_write("257 above a neighbour", 957);
	try_write("256 above a neighbour", 956);
	try_write("44 above a neighbour", 745);
	map(ARENA + 700 * P, P, PROT_NONE, plain, -1, 0);
	try_write("above a guard", 702);
	try_write("at a guard", 701);
	try_write("in a guard", 700);
	map(ARENA + 700 * P, 2 * P, rw, grows, -1, 0);
	try_write("above another stack", 702);
	say("hint in the gap", map(ARENA + 900 * P, P, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	say("hint at the gap", map(ARENA + 743 * P, P, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	say("hint over the gap", map(ARENA + 742 * P, P, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	say("fixed in the gap", map(ARENA + 998 * P, P, rw, plain, -1, 0));
	try_write("with something in the gap", 999);
	maps();
	clear();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	memfd = memfd_create("file", 0);
	ftruncate(memfd, 8 * (long)P);
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	rofd = open(path, O_RDONLY);
	wofd = open(path, O_WRONLY);
	dirfd_ = open("/", O_RDONLY | O_DIRECTORY);
	nullfd = open("/dev/null", O_RDWR);
	zerofd = open("/dev/zero", O_RDWR);
	if (pipe(pipefd) || rofd < 0 || wofd < 0 || dirfd_ < 0 || nullfd < 0 || zerofd < 0)
		return 1;
	test_mmap();
	test_madvise();
	test_mprotect();
	test_mremap();
	test_others();
	test_far_addresses();
	printf("locks\n");
	lock_cases();
	as_user("locks as a user", 8 * P, lock_cases);
	as_user("locks as a user without", 0, lock_cases);
	test_limits();
	test_seals();
	test_mseal();
	test_accounts();
	test_faults();
	test_stacks();
	return 0;
}
