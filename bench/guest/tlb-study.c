/* tlb-study.c: what a change in a region costs the TLBs, by number of sharers. bench/tlb-study.ts runs it for each strategy and number of harts.
 *
 * usage: tlb-study SHARERS
 *
 * SHARERS processes attach a region of 4 MiB, each reads all of its pages and 16 pages of its own, and goes round again whenever the owner says. The second
 * round follows no change, for comparison. Before each of the others the owner changes one thing: it protects a page, protects 2 MiB, unmaps a page, unmaps
 * 2 MiB. Printed, a line each: what /proc/vmstat counted for the change alone — flush commands, harts interrupted,
 * translations dropped — and the TLB misses of everybody in the round that followed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <mshare.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1UL << 20)
#define PAGE 4096UL
#define SIZE (4 * MIB)
#define OWN 16
#define ROUNDS 6

struct control {
	uint32_t round, done;
	unsigned long start, end; /* what may be read */
};

struct counters {
	long flushes, harts, entries, misses;
};

static long field(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

/* Without stdio: its buffers would be mapped and unmapped between the readings. */
static struct counters count(void)
{
	static char text[8192];
	int fd = open("/proc/vmstat", O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	return (struct counters){
		field(text, "tlb_flushes "), field(text, "tlb_flush_harts "), field(text, "tlb_flush_entries "), field(text, "tlb_misses "),
	};
}

static void await(uint32_t *word, uint32_t value)
{
	uint32_t seen;
	while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void sharer(volatile char *window, struct control *control, uint32_t sharers)
{
	static volatile char own[OWN * PAGE];
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		await(&control->round, round);
		for (unsigned long at = control->start; at < control->end; at += PAGE)
			(void)window[at];
		for (unsigned long at = 0; at < OWN * PAGE; at += PAGE)
			own[at]++;
		if (__atomic_add_fetch(&control->done, 1, __ATOMIC_ACQ_REL) == sharers)
			syscall(SYS_futex, &control->done, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	_exit(0);
}

/* Lets every sharer go round once. */
static void let(struct control *control, uint32_t round, uint32_t sharers)
{
	control->done = 0;
	__atomic_store_n(&control->round, round, __ATOMIC_RELEASE);
	syscall(SYS_futex, &control->round, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
	await(&control->done, sharers);
}

/* Change number i. Sharers only read: what protecting takes away is W, so that all their translations could stay. */
static int change(int fd, int i, struct control *control)
{
	switch (i) {
	case 0:
		return 0;
	case 1:
		return mshare_protect(fd, 0, PAGE, PROT_READ);
	case 2:
		return mshare_protect(fd, 2 * MIB, 2 * MIB, PROT_READ);
	case 3:
		control->end = SIZE - PAGE;
		return mshare_unmap(fd, SIZE - PAGE, PAGE);
	default:
		control->start = 2 * MIB;
		return mshare_unmap(fd, 0, 2 * MIB);
	}
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
	control->end = SIZE;
	for (uint32_t i = 0; i < sharers; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 2;
		if (pid == 0)
			sharer(window, control, sharers);
	}
	let(control, 1, sharers);
	for (int i = 0; i < ROUNDS - 1; i++) {
		struct counters before = count();
		if (change(fd, i, control))
			return 3;
		struct counters after = count();
		let(control, (uint32_t)i + 2, sharers);
		struct counters later = count();
		printf("%ld %ld %ld %ld\n", after.flushes - before.flushes, after.harts - before.harts, after.entries - before.entries, later.misses - after.misses);
		fflush(stdout);
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
