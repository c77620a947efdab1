/* tlb-study.c: what a change in a region costs the TLBs, by number of sharers. bench/tlb-study.ts runs it for each strategy and number of harts.
 *
 * usage: tlb-study SHARERS
 *
 * SHARERS processes attach a region of 4 MiB, each reads all of its pages and 64 pages of its own, and goes round again whenever the owner says. Before each
 * round the owner changes the protection of one page, of 2 MiB, of all 4 MiB. Printed: what /proc/vmstat counted for each change alone. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <mshare.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MIB (1UL << 20)
#define PAGE 4096UL
#define SIZE (4 * MIB)
#define OWN 64

struct control {
	uint32_t round, done;
};

static long counter(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char line[128];
	long value = -1;
	size_t length = strlen(name);
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, length) && line[length] == ' ')
			value = atol(line + length);
	if (f)
		fclose(f);
	return value;
}

static void await(uint32_t *word, uint32_t value)
{
	uint32_t seen;
	while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void sharer(volatile char *window, struct control *control, uint32_t sharers)
{
	volatile char *own = malloc(OWN * PAGE);
	for (uint32_t round = 1; round <= 4; round++) {
		await(&control->round, round);
		for (unsigned long at = 0; at < SIZE; at += PAGE)
			(void)window[at];
		for (unsigned long at = 0; at < OWN * PAGE; at += PAGE)
			own[at]++;
		if (__atomic_add_fetch(&control->done, 1, __ATOMIC_ACQ_REL) == sharers)
			syscall(SYS_futex, &control->done, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	_exit(0);
}

static void let(struct control *control, uint32_t round, uint32_t sharers)
{
	control->done = 0;
	__atomic_store_n(&control->round, round, __ATOMIC_RELEASE);
	syscall(SYS_futex, &control->round, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
	await(&control->done, sharers);
}

int main(int argc, char **argv)
{
	uint32_t sharers = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
	struct control *control = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = mshare_create(0);
	struct mshare_map pool = { .size = SIZE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	if (ftruncate(fd, SIZE) || mshare_map(fd, &pool, sizeof(pool)) < 0)
		return 1;
	char *window = mshare_attach(fd, 0, 0, NULL, 0);
	if (window == MAP_FAILED)
		return 1;
	memset(window, 1, SIZE);
	for (uint32_t i = 0; i < sharers; i++)
		if (fork() == 0)
			sharer(window, control, sharers);
	let(control, 1, sharers);
	static const unsigned long sizes[] = { PAGE, 2 * MIB, SIZE };
	for (int i = 0; i < 3; i++) {
		long harts = counter("tlb_flush_harts"), entries = counter("tlb_flush_entries"), flushes = counter("tlb_flushes");
		/* Reading only: what is taken away is W, and all translations may stay that only read. */
		if (mshare_protect(fd, 0, sizes[i], i == 1 ? PROT_READ | PROT_WRITE : PROT_READ))
			return 1;
		printf("%lu %ld %ld %ld\n", sizes[i], counter("tlb_flushes") - flushes, counter("tlb_flush_harts") - harts, counter("tlb_flush_entries") - entries);
		fflush(stdout);
		let(control, (uint32_t)i + 2, sharers);
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
