/* mm-smaps.c: /proc/self/smaps, statm and pagemap of mappings that were touched, forked, copied, locked and advised, to be compared with Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 4096UL
#define ARENA 0x1000000000UL

static void *map(unsigned long page, unsigned long pages, int prot, int flags, int fd, long offset)
{
	return mmap((void *)(ARENA + page * P), pages * P, prot, flags | MAP_FIXED, fd, offset);
}

static void touch(unsigned long first, unsigned long count, int write)
{
	for (unsigned long i = first; i < first + count; i++) {
		volatile char *p = (volatile char *)(ARENA + i * P);
		if (write)
			*p = 1;
		else
			(void)*p;
	}
}

/* What of smaps does not depend on the machine: not the sizes of huge pages, not what swap there is. */
static const char *const shown[] = { "Rss:", "Pss:", "Pss_Dirty:", "Shared_Clean:", "Shared_Dirty:", "Private_Clean:", "Private_Dirty:", "Referenced:", "Anonymous:", "Locked:" };

static void smaps(const char *what)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[512], prot[8];
	int inside = 0;
	printf("%s\n", what);
	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end, offset;
		if (sscanf(text, "%lx-%lx %7s %lx", &start, &end, prot, &offset) == 4) {
			inside = end > ARENA && start < ARENA + 4096 * P;
			if (inside)
				printf("  +%lu +%lu %s %lx", (start - ARENA) / P, (end - ARENA) / P, prot, offset);
			continue;
		}
		for (unsigned i = 0; inside && i < sizeof(shown) / sizeof(*shown); i++)
			if (strncmp(text, shown[i], strlen(shown[i])) == 0)
				printf(" %ld", strtol(text + strlen(shown[i]), NULL, 10));
		if (inside && strncmp(text, "VmFlags:", 8) == 0)
			printf(" %s", text + 9);
	}
	fclose(f);
	fflush(stdout);
}

static void pagemap(const char *what, unsigned long first, unsigned long count)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	printf("%s:", what);
	for (unsigned long i = first; i < first + count; i++) {
		uint64_t entry = 0;
		pread(fd, &entry, 8, (long)(ARENA / P + i) * 8);
		/* present, file or shared, mapped once */
		printf(" %d%d%d", (int)(entry >> 63), (int)(entry >> 61 & 1), (int)(entry >> 56 & 1));
	}
	printf("\n");
	fflush(stdout);
	close(fd);
}

static void in_child(const char *what, void (*run)(void))
{
	printf("%s\n", what);
	fflush(stdout);
	if (fork() == 0) {
		run();
		_exit(0);
	}
	wait(NULL);
}

static void child_writes(void)
{
	smaps("child before");
	touch(0, 2, 1);
	touch(16, 2, 1);
	smaps("child after");
	pagemap("child's pages", 0, 5);
}

int main(void)
{
	const int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	int fd = memfd_create("smaps", 0);
	ftruncate(fd, 16 * (long)P);
	map(0, 8, rw, anon, -1, 0);
	touch(0, 4, 1);
	touch(4, 2, 0);
	map(16, 8, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	touch(16, 4, 1);
	touch(20, 2, 0);
	map(32, 8, rw, MAP_SHARED, fd, 0);
	touch(32, 4, 1);
	map(48, 8, rw, MAP_PRIVATE, fd, 0);
	touch(48, 4, 0);
	touch(49, 1, 1);
	map(64, 8, PROT_READ, MAP_SHARED, fd, 0);
	touch(64, 8, 0);
	map(80, 4, PROT_READ | PROT_EXEC, anon | MAP_NORESERVE, -1, 0);
	map(88, 4, PROT_NONE, anon, -1, 0);
	smaps("at first");
	pagemap("private", 0, 8);
	pagemap("shared", 16, 8);
	pagemap("private file", 48, 8);
	in_child("fork", child_writes);
	smaps("afterwards");
	touch(0, 1, 1);
	smaps("written again");
	mlock((void *)(ARENA + 2 * P), 3 * P);
	syscall(SYS_mlock2, ARENA + 16 * P, 2 * P, 1);
	smaps("locked");
	munlockall();
	madvise((void *)ARENA, 2 * P, MADV_FREE);
	madvise((void *)(ARENA + 32 * P), 2 * P, MADV_DONTNEED);
	madvise((void *)(ARENA + 4 * P), 1 * P, MADV_SEQUENTIAL);
	madvise((void *)(ARENA + 5 * P), 1 * P, MADV_RANDOM);
	madvise((void *)(ARENA + 6 * P), 1 * P, MADV_DONTFORK);
	madvise((void *)(ARENA + 7 * P), 1 * P, MADV_WIPEONFORK);
	madvise((void *)(ARENA + 80 * P), 1 * P, MADV_DONTDUMP);
	madvise((void *)(ARENA + 81 * P), 1 * P, MADV_MERGEABLE);
	madvise((void *)(ARENA + 82 * P), 1 * P, MADV_HUGEPAGE);
	madvise((void *)(ARENA + 83 * P), 1 * P, MADV_NOHUGEPAGE);
	map(96, 2, rw, anon | MAP_GROWSDOWN, -1, 0);
	map(360, 2, rw, anon | MAP_STACK, -1, 0);
	map(362, 2, rw, anon | MAP_LOCKED, -1, 0);
	smaps("advised");
	mprotect((void *)(ARENA + 16 * P), 8 * P, PROT_READ);
	mprotect((void *)(ARENA + 32 * P), 8 * P, PROT_NONE);
	ftruncate(fd, 2 * (long)P);
	smaps("protected and truncated");
	return 0;
}
