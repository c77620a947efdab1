/* abi-memcg.c: what a region is charged for, in memory cgroups (DESIGN.md: Charges; REFERENCE.md: memcg; ABI.md: transfer). The owner's group pays for pages and tables,
 * whoever touches them; a sharer's own upper tables and private copies are the sharer's. Run with swap. */
#include "cgroup.h"
#include "region.h"

#define SIZE (32 * MIB)

static int private_tables;

static long current(const char *group)
{
	return cg_number(group, "memory.current");
}
static long tables(const char *group)
{
	return cg_key(group, "memory.stat", "pagetables");
}
static long shmem(const char *group)
{
	return cg_key(group, "memory.stat", "shmem");
}

static void touch(volatile char *at, unsigned long size)
{
	for (unsigned long i = 0; i < size; i += PAGE)
		at[i] = 1;
}

static void enter(const char *group)
{
	if (cg_write(group, "cgroup.procs", "0"))
		printf("FAIL entering %s: %s\n", group, error_name(errno)), failures++;
}

static int move_to(pid_t pid, const char *group)
{
	char text[20];
	snprintf(text, sizeof(text), "%d", pid);
	return cg_write(group, "cgroup.procs", text);
}

/* An owner in GROUP that sleeps; its region has anonymous memory in all of it. */
static pid_t owner_in(const char *group, int *fd)
{
	int ready[2];
	pipe(ready);
	pid_t pid = fork();
	if (pid == 0) {
		enter(group);
		int mine = region(SIZE);
		map_anon(mine, 0, SIZE, RW);
		write(ready[1], &mine, sizeof(mine));
		for (;;)
			pause();
	}
	int theirs;
	read(ready[0], &theirs, sizeof(theirs));
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	*fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	close(pidfd);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void groups(void)
{
	cg_make("A");
	cg_make("B");
	cg_make("C");
}

static void no_groups(void)
{
	expect_is(cg_remove("A"), 0, "group A is removed");
	expect_is(cg_remove("B"), 0, "group B is removed");
	expect_is(cg_remove("C"), 0, "group C is removed");
}

/* REFERENCE.md: 32 MiB touched by a process in group B is charged to the owner's group A. */
static void who_pays(void)
{
	int fd;
	pid_t owner = owner_in("A", &fd);
	expect_in_child({
		enter("B");
		char *window = window_on(fd);
		long a = current("A"), b = current("B"), at = tables("A"), bt = tables("B");
		touch(window, SIZE);
		expect(current("A") - a >= (long)SIZE, "all pages are charged to the owner's group");
		expect(shmem("A") >= (long)SIZE, "as shmem");
		if (private_tables) {
			expect(tables("B") - bt >= 16 * 4096L, "private tables are the toucher's");
		} else {
			expect(tables("A") - at >= 16 * 4096L, "the region's tables are charged to the owner's group");
			expect(current("B") - b <= 4 * 4096L, "the toucher's group pays for an upper table or two");
			expect(tables("B") - bt <= 3 * 4096L, "which are tables");
		}
		expect(cg_key("B", "memory.stat", "pgfault") >= 8192, "the faults are the toucher's");
	});
	/* With the owner in another group new pages are charged there; what is charged stays. */
	expect_is(mshare_unmap(fd, SIZE / 2, SIZE / 2), 0, "half is unmapped");
	expect_is(map_anon(fd, SIZE / 2, SIZE / 2, RW), SIZE / 2, "mapped again");
	expect_is(move_to(owner, "C"), 0, "the owner moves to C");
	expect_in_child({
		enter("B");
		char *window = window_on(fd);
		touch(window, SIZE);
		expect(shmem("C") >= (long)(SIZE / 2), "new pages are charged to C");
		expect(shmem("A") >= (long)(SIZE / 2), "the old ones to A");
		expect(shmem("B") < (long)MIB, "B pays nothing");
	});
	end_owner(owner);
	expect(current("A") < (long)MIB && current("C") < (long)MIB, "with the owner's end all of it is given back");
	close(fd);
}

/* A over memory.max: the owner is the OOM victim, and the toucher in B gets SIGSEGV/SEGV_MAPERR. */
static void over_the_limit(void)
{
	int fd, status;
	no_groups();
	groups();
	cg_write("A", "memory.max", "8M");
	cg_write("A", "memory.swap.max", "0");
	pid_t owner = owner_in("A", &fd);
	expect_in_child({
		enter("B");
		catch_faults();
		char *window = window_on(fd);
		unsigned long at = 0;
		const char *how = "ok";
		for (; at < SIZE && !strcmp(how, "ok"); at += PAGE)
			how = try_write(window + at);
		expect(at > 6 * MIB && at <= 8 * MIB, "as much as the limit allows could be touched");
		expect_text(how, "SEGV_MAPERR", "then the toucher gets SIGSEGV");
		expect_text(try_read(window), "SEGV_MAPERR", "the region is empty");
		expect_error(map_anon(fd, 0, PAGE, RW), ENXIO, "its owner is gone");
	});
	status = ended(owner);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the owner was killed");
	expect_is(cg_key("A", "memory.events", "oom_kill"), 1, "in A there was a kill");
	expect_is(cg_key("B", "memory.events", "oom_kill"), 0, "in B there was none");
	expect_is(cg_key("B", "memory.events", "max"), 0, "B was at no limit");
	expect(cg_number("A", "memory.peak") <= (long)(8 * MIB), "A was never over its limit");
	close(fd);

	/* With swap, A's own pages give way. */
	cg_write("A", "memory.swap.max", "max");
	owner = owner_in("A", &fd);
	expect_in_child({
		enter("B");
		char *window = window_on(fd);
		touch(window, SIZE);
		expect(current("A") <= (long)(8 * MIB), "with swap A stays within its limit");
		expect(cg_number("A", "memory.swap.current") >= (long)(SIZE - 8 * MIB), "the rest is in A's swap");
		expect(cg_key("A", "memory.stat", "pswpout") > 0, "and counted");
		expect_is(cg_number("B", "memory.swap.current"), 0, "none of it in B's");
		int bad = 0;
		for (unsigned long i = 0; i < SIZE; i += PAGE)
			bad += window[i] != 1;
		expect_is(bad, 0, "all of it reads back");
		expect(cg_key("A", "memory.stat", "pswpin") > 0, "A's pages came back");
	});
	end_owner(owner);
	expect_is(cg_number("A", "memory.swap.current"), 0, "the owner's end frees the swap");
	cg_write("A", "memory.max", "max");
	close(fd);
}

/* A sharer that waits, in GROUP, with a window; the pidfd. */
static int sharer_in(const char *group, int fd, pid_t *pid)
{
	int ready[2];
	char c;
	pipe(ready);
	*pid = fork();
	if (*pid == 0) {
		enter(group);
		window_on(fd);
		write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	read(ready[0], &c, 1);
	close(ready[0]);
	close(ready[1]);
	return (int)syscall(SYS_pidfd_open, *pid, 0);
}

/* mshare_transfer: what the region was charged for moves along, swap included, or nothing moves (ENOMEM). */
static void transfer(void)
{
	expect_in_child({
		enter("A");
		int fd = region(SIZE);
		map_anon(fd, 0, SIZE, RW);
		char *window = window_on(fd);
		touch(window, SIZE);
		expect_is(mshare_advise(fd, 0, 8 * MIB, MADV_PAGEOUT), 0, "a part goes to swap");
		long swapped = cg_number("A", "memory.swap.current");
		expect(swapped >= (long)(7 * MIB), "charged to A");
		long in_memory = shmem("A");
		pid_t heir;
		int pidfd = sharer_in("B", fd, &heir);
		long b = current("B");
		cg_write("B", "memory.max", "8M");
		expect_error(mshare_transfer(fd, pidfd), ENOMEM, "B's limit is too low");
		expect_is(stat_of(fd).owner, getpid(), "then the owner is still the owner");
		expect_is(shmem("A"), in_memory, "and A pays as before");
		cg_write("B", "memory.max", "max");
		cg_write("B", "memory.swap.max", "1M");
		expect_error(mshare_transfer(fd, pidfd), ENOMEM, "B's swap limit is too low");
		expect_is(shmem("A"), in_memory, "nothing has moved");
		expect_is(cg_number("A", "memory.swap.current"), swapped, "no swap either");
		cg_write("B", "memory.swap.max", "max");
		long at = tables("A");
		expect_is(mshare_transfer(fd, pidfd), 0, "with room it moves");
		expect_is(stat_of(fd).owner, heir, "to its new owner");
		expect_is(shmem("B"), in_memory, "with its pages");
		expect_is(cg_number("B", "memory.swap.current"), swapped, "its swap");
		expect(shmem("A") < (long)MIB && cg_number("A", "memory.swap.current") == 0, "A pays for none of it");
		if (!private_tables)
			expect(at - tables("A") >= 16 * 4096L, "nor for its tables");
		expect(current("B") - b >= in_memory, "B pays");
		/* What comes now is charged to B, though we touch it. */
		touch(window, SIZE);
		expect(shmem("B") >= (long)SIZE, "new pages are charged to B");
		end_owner(heir);
		expect(shmem("B") < (long)MIB, "the end of the new owner frees it");
	});
}

/* Page cache that another group brought in stays charged there. */
static void files(void)
{
	int object = memfd(16 * MIB);
	expect_in_child({
		enter("C");
		static char buffer[64 * KIB];
		for (unsigned long i = 0; i < 8 * MIB; i += sizeof(buffer))
			pwrite(object, buffer, sizeof(buffer), (off_t)i);
	});
	expect(shmem("C") >= (long)(8 * MIB), "C has written half of a memfd");
	long c = shmem("C");
	expect_in_child({
		enter("A");
		int fd = region(SIZE);
		expect_is(map_file(fd, 0, 16 * MIB, RW, object, 0), 0, "it is mapped into a region of A");
		char *window = window_on(fd);
		touch(window, 16 * MIB);
		expect_is(shmem("C"), c, "C pays for its half");
		expect(shmem("A") >= (long)(8 * MIB) && shmem("A") < (long)(9 * MIB), "A for the other");
		pid_t heir;
		int pidfd = sharer_in("B", fd, &heir);
		expect_is(mshare_transfer(fd, pidfd), 0, "the region goes to B");
		expect_is(shmem("C"), c, "C pays for its half still");
		expect(shmem("B") >= (long)(8 * MIB) && shmem("B") < (long)(9 * MIB), "B for the other");
		end_owner(heir);
	});
	expect_is(shmem("C"), c, "after the region's end C pays on");
	ftruncate(object, 0);
	expect(shmem("C") == 0 && shmem("B") == 0, "until the pages go");
	close(object);
}

/* Read-only views are the region's; copies of private windows are the writer's. */
static void views(void)
{
	int fd;
	pid_t owner = owner_in("A", &fd);
	expect_in_child({
		enter("A");
		touch(window_on(fd), SIZE);
	});
	expect_in_child({
		enter("B");
		char *window = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
		long at = tables("A"), bt = tables("B");
		int sum = 0;
		for (unsigned long i = 0; i < SIZE; i += PAGE)
			sum += window[i];
		expect_is(sum, SIZE / PAGE, "read through a read-only window");
		if (!private_tables) {
			expect(tables("A") - at >= 16 * 4096L, "the view's tables are charged to the owner's group");
			expect(tables("B") - bt <= 3 * 4096L, "not to the reader's");
		}
	});
	expect_in_child({
		enter("B");
		char *window = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
		long a = current("A"), b = cg_key("B", "memory.stat", "anon");
		touch(window, 4 * MIB);
		expect(cg_key("B", "memory.stat", "anon") - b >= (long)(4 * MIB), "copies are charged to the writer's group");
		expect(current("A") - a <= (long)(64 * PAGE), "not to the owner's");
	});
	end_owner(owner);
	close(fd);
}

int main(void)
{
	int fd = region(MIB);
	private_tables = (stat_of(fd).flags & 2) != 0;
	close(fd);
	mount_groups();
	cg_write("", "cgroup.subtree_control", "+memory");
	groups();
	who_pays();
	over_the_limit();
	transfer();
	files();
	views();
	no_groups();
	return failures != 0;
}
