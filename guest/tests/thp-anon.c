/* thp-anon.c: transparent huge pages of anonymous memory, operation by operation, to be compared with Linux: what is huge (AnonHugePages), what is
 * split, the page tables kept ready for that, the huge zero page, fork and copy-on-write. */
#include "thp.h"

static void faults(void)
{
	map(0, 1024, RW, MAP_PRIVATE);
	report("mapped");
	*at(0, 3) = 1;
	report("a write");
	*at(2, 500) = 1;
	report("another");
	unmap_arena();
	report("unmapped");
	map(0, 512, RW, MAP_PRIVATE);
	(void)*(volatile char *)at(0, 7);
	report("a read");
	*at(0, 7) = 1;
	report("and a write");
	unmap_arena();
	map(1, 512, RW, MAP_PRIVATE);
	touch(at(1, 0), 512, 1);
	report("2 MiB off alignment");
	unmap_arena();
	map(1, 1024, RW, MAP_PRIVATE);
	touch(at(1, 0), 1024, 1);
	report("4 MiB off alignment");
	unmap_arena();
	map(0, 512, PROT_READ, MAP_PRIVATE);
	(void)*(volatile char *)at(0, 7);
	report("read-only, a read");
	mprotect(at(0, 0), HUGE, RW);
	*at(0, 7) = 1;
	report("made writable, a write");
	unmap_arena();
	map(0, 512, RW, MAP_PRIVATE | MAP_POPULATE);
	report("MAP_POPULATE");
	unmap_arena();
	map(0, 512, RW, MAP_PRIVATE | MAP_STACK);
	touch(at(0, 0), 512, 1);
	report("MAP_STACK");
	unmap_arena();
	setting("use_zero_page", "0");
	map(0, 512, RW, MAP_PRIVATE);
	(void)*(volatile char *)at(0, 7);
	report("a read without the zero page");
	setting("use_zero_page", "1");
	unmap_arena();
	map(0, 256, RW, MAP_PRIVATE);
	*at(0, 1) = 1;
	map(1, 256, RW, MAP_PRIVATE);
	*at(1, 1) = 1;
	report("two mappings that merge, 4 KiB at first");
	unmap_arena();
}

static void madvised(void)
{
	setting("enabled", "madvise");
	map(0, 1024, RW, MAP_PRIVATE);
	touch(at(0, 0), 512, 1);
	report("madvise: not asked for");
	show("MADV_HUGEPAGE", madvise(at(0, 0), 2 * HUGE, MADV_HUGEPAGE));
	touch(at(2, 0), 512, 1);
	report("asked for");
	show("MADV_NOHUGEPAGE", madvise(at(0, 0), 2 * HUGE, MADV_NOHUGEPAGE));
	report("and not");
	unmap_arena();
	setting("enabled", "always");
	map(0, 1024, RW, MAP_PRIVATE);
	show("MADV_NOHUGEPAGE", madvise(at(0, 0), HUGE, MADV_NOHUGEPAGE));
	touch(at(0, 0), 1024, 1);
	report("half without");
	show("MADV_NOHUGEPAGE of a page", madvise(at(2, 100), PAGE, MADV_NOHUGEPAGE));
	report("a page without");
	unmap_arena();
	setting("enabled", "never");
	map(0, 512, RW, MAP_PRIVATE);
	show("MADV_HUGEPAGE", madvise(at(0, 0), HUGE, MADV_HUGEPAGE));
	touch(at(0, 0), 512, 1);
	report("never");
	setting("enabled", "always");
	unmap_arena();
	show("PR_GET_THP_DISABLE", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	show("PR_SET_THP_DISABLE", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	map(0, 512, RW, MAP_PRIVATE);
	touch(at(0, 0), 512, 1);
	report("disabled for the process");
	show("PR_GET_THP_DISABLE", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	fflush(stdout);
	if (fork() == 0) {
		show("PR_GET_THP_DISABLE in a child", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
		printf("THP_enabled %ld\n", counter("/proc/self/status", "THP_enabled"));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	show("PR_SET_THP_DISABLE", prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	unmap_arena();
}

static void fresh(void)
{
	unmap_arena();
	map(0, 1024, RW, MAP_PRIVATE);
	fill(at(0, 0), 1024, 1000);
	forget_counters();
}

static void changes(void)
{
	fresh();
	report("two huge pages");
	munmap(at(0, 10), PAGE);
	report("munmap of a page");
	printf("%lu %lu\n", wrong(at(0, 0), 10, 1000), wrong(at(0, 11), 1013, 1011));
	fresh();
	munmap(at(0, 256), HUGE);
	report("munmap over the border");
	fresh();
	munmap(at(0, 0), HUGE);
	report("munmap of one");
	fresh();
	show("mprotect of both", mprotect(at(0, 0), 2 * HUGE, PROT_READ));
	report("read-only");
	show("mprotect of one", mprotect(at(0, 0), HUGE, PROT_NONE));
	report("PROT_NONE");
	show("mprotect of both", mprotect(at(0, 0), 2 * HUGE, RW));
	printf("%lu\n", wrong(at(0, 0), 1024, 1000));
	report("writable again");
	show("mprotect of a page", mprotect(at(0, 100), PAGE, PROT_READ));
	report("a page read-only");
	show("mprotect of that page", mprotect(at(0, 100), PAGE, RW));
	report("and back");
	printf("%lu\n", wrong(at(0, 0), 1024, 1000));
	fresh();
	show("MADV_DONTNEED of a page", madvise(at(0, 5), PAGE, MADV_DONTNEED));
	report("a page not needed");
	printf("%lu %d %lu\n", wrong(at(0, 0), 5, 1000), *(int *)at(0, 5), wrong(at(0, 6), 1018, 1006));
	show("MADV_DONTNEED of one", madvise(at(2, 0), HUGE, MADV_DONTNEED));
	report("one not needed");
	touch(at(2, 0), 512, 1);
	report("and touched");
	fresh();
	show("MADV_FREE of both", madvise(at(0, 0), 2 * HUGE, MADV_FREE));
	report("free");
	show("MADV_FREE of pages", madvise(at(0, 8), 8 * PAGE, MADV_FREE));
	report("free in part");
	printf("%lu\n", wrong(at(0, 0), 1024, 1000));
	fresh();
	show("MADV_COLD of both", madvise(at(0, 0), 2 * HUGE, MADV_COLD));
	report("cold");
	show("MADV_COLD of pages", madvise(at(0, 8), 8 * PAGE, MADV_COLD));
	report("cold in part");
	fresh();
	show("MADV_PAGEOUT of both", madvise(at(0, 0), 2 * HUGE, MADV_PAGEOUT));
	report("without swap");
	fresh();
	show("mlock of pages", mlock(at(0, 8), 8 * PAGE));
	report("locked in part");
	show("munlock", munlock(at(0, 0), 2 * HUGE));
	report("unlocked");
	fresh();
	show("MADV_DONTFORK of pages", madvise(at(0, 8), 8 * PAGE, MADV_DONTFORK));
	report("split VMA");
	fresh();
	show("MADV_DONTDUMP over the border", madvise(at(0, 256), HUGE, MADV_DONTDUMP));
	report("split VMAs");
	unmap_arena();
}

static void moves(void)
{
	fresh();
	show("mremap to 16 MiB", (unsigned long)mremap(at(0, 0), 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(16, 0)) - ARENA);
	report("moved");
	printf("%lu\n", wrong(at(16, 0), 1024, 1000));
	show("mremap to 33 MiB", (unsigned long)mremap(at(16, 0), 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(33, 0)) - ARENA);
	report("moved off alignment");
	printf("%lu\n", wrong(at(33, 0), 1024, 1000));
	fresh();
	show("mremap of the middle", (unsigned long)mremap(at(1, 0), HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(65, 0)) - ARENA);
	report("the middle moved");
	printf("%lu %lu %lu\n", wrong(at(0, 0), 256, 1000), wrong(at(65, 0), 512, 1256), wrong(at(3, 0), 256, 1768));
	fresh();
	show("mremap shrinks", (unsigned long)mremap(at(0, 0), 2 * HUGE, HUGE + MIB, 0) - ARENA);
	report("shrunk");
	show("mremap grows", (unsigned long)mremap(at(0, 0), HUGE + MIB, 3 * HUGE, 0) - ARENA);
	report("grown");
	touch(at(4, 0), 512, 1);
	report("touched");
	fresh();
	show("mremap keeps", (unsigned long)mremap(at(0, 0), 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED | 4, at(128, 0)) - ARENA);
	report("moved with DONTUNMAP");
	touch(at(0, 0), 512, 1);
	report("the old place touched");
	printf("%lu\n", wrong(at(128, 0), 1024, 1000));
	unmap_arena();
}

static void child_reads(void)
{
	forget_counters();
	report("child");
	printf("%lu\n", wrong(at(0, 0), 1024, 1000));
	report("child has read");
}

static void child_writes(void)
{
	forget_counters();
	*at(0, 20) = 5;
	report("child has written a page");
	fill(at(0, 0), 512, 1);
	report("child has written the first");
	printf("%lu %lu\n", wrong(at(0, 0), 512, 1), wrong(at(2, 0), 512, 1512));
}

static void child_unmaps(void)
{
	forget_counters();
	munmap(at(0, 0), HUGE + PAGE);
	report("child has unmapped");
}

static void forks(void)
{
	fresh();
	in_child(child_reads());
	report("parent");
	in_child(child_writes());
	report("parent");
	printf("%lu\n", wrong(at(0, 0), 1024, 1000));
	*at(0, 20) = 0;
	report("parent has written");
	fresh();
	in_child(child_unmaps());
	report("parent");
	fresh();
	fflush(stdout);
	int pipes[2], more[2];
	char byte;
	pipe(pipes), pipe(more);
	if (fork() == 0) {
		read(more[0], &byte, 1);
		printf("%lu in the child\n", wrong(at(0, 0), 1024, 1000));
		fflush(stdout);
		_exit(0);
	}
	*at(0, 30) = 7;
	*at(0, 30) = 0;
	report("parent writes while the child has it");
	write(more[1], "", 1);
	wait(NULL);
	fill(at(0, 0), 1024, 1000);
	report("parent writes alone");
	close(pipes[0]), close(pipes[1]), close(more[0]), close(more[1]);
	map(0, 512, RW, MAP_PRIVATE);
	(void)*(volatile char *)at(0, 7);
	report("zero page");
	in_child(child_unmaps());
	fresh();
	show("MADV_WIPEONFORK", madvise(at(0, 0), HUGE, MADV_WIPEONFORK));
	in_child(child_unmaps());
	unmap_arena();
}

static void zero_page(void)
{
	map(0, 1024, RW, MAP_PRIVATE);
	forget_counters();
	touch(at(0, 0), 1024, 0);
	report("zeros");
	munmap(at(0, 10), PAGE);
	report("zeros split");
	mprotect(at(2, 10), PAGE, PROT_READ);
	report("zeros protected in part");
	*at(2, 0) = 1;
	report("a write beside");
	unmap_arena();
	map(0, 512, RW, MAP_PRIVATE);
	touch(at(0, 0), 1, 0);
	show("MADV_DONTNEED", madvise(at(0, 0), HUGE, MADV_DONTNEED));
	report("gone");
	touch(at(0, 0), 1, 0);
	show("mremap", (unsigned long)mremap(at(0, 0), HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(16, 0)) - ARENA);
	report("zeros moved");
	*at(16, 3) = 1;
	report("and written");
	unmap_arena();
}

int main(void)
{
	usual_settings();
	report("");
	forget_counters();
	faults();
	madvised();
	changes();
	moves();
	forks();
	zero_page();
	report("the end");
	return 0;
}
