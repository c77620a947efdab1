/* thp-shmem.c: transparent huge pages of shared memory (memfd, MAP_SHARED | MAP_ANONYMOUS, tmpfs) and MADV_COLLAPSE, operation by operation, to be
 * compared with Linux. */
#include "thp.h"
#include <sys/mount.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static char *shared(unsigned long mib, unsigned long pages)
{
	return map(mib, pages, RW, MAP_SHARED);
}

static long huge_pages(void)
{
	return counter("/proc/meminfo", "ShmemHugePages");
}

static void line(const char *what)
{
	long huge = huge_pages();
	report(what);
	printf("  huge pages %ld mapped %ld\n", huge, counter("/proc/meminfo", "ShmemPmdMapped"));
}

static void enabled(void)
{
	static const char *const settings[] = { "always", "within_size", "advise", "never", "deny", "force" };
	for (unsigned i = 0; i < 6; i++) {
		setting("shmem_enabled", settings[i]);
		printf("%s\n", settings[i]);
		shared(0, 1024);
		*at(0, 3) = 1;
		line("a write");
		(void)*(volatile char *)at(2, 3);
		line("a read");
		show("MADV_HUGEPAGE", madvise(at(0, 0), 2 * HUGE, MADV_HUGEPAGE));
		*at(2, 3) = 1;
		line("advised");
		unmap_arena();
		int fd = memfd_create("m", 0);
		ftruncate(fd, 5 * PAGE);
		mmap(at(0, 0), HUGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
		*at(0, 0) = 1;
		line("a small memfd");
		unmap_arena();
		close(fd);
	}
	setting("shmem_enabled", "always");
}

static void changes(void)
{
	forget_counters();
	shared(0, 1024);
	fill(at(0, 0), 1024, 1);
	line("4 MiB written");
	munmap(at(0, 10), PAGE);
	line("munmap of a page");
	printf("%lu %lu\n", wrong(at(0, 0), 10, 1), wrong(at(0, 11), 1013, 12));
	line("read again");
	unmap_arena();
	shared(0, 1024);
	fill(at(0, 0), 1024, 1);
	forget_counters();
	show("mprotect of one", mprotect(at(0, 0), HUGE, PROT_READ));
	line("read-only");
	show("mprotect of both", mprotect(at(0, 0), 2 * HUGE, RW));
	line("and writable");
	fill(at(0, 0), 1024, 1);
	line("written");
	show("mprotect of a page", mprotect(at(0, 9), PAGE, PROT_READ));
	line("a page read-only");
	printf("%lu\n", wrong(at(0, 0), 1024, 1));
	show("MADV_DONTNEED", madvise(at(2, 0), HUGE, MADV_DONTNEED));
	line("not needed");
	printf("%lu\n", wrong(at(0, 0), 1024, 1));
	show("MADV_REMOVE of pages", madvise(at(2, 4), 4 * PAGE, MADV_REMOVE));
	line("removed in part");
	show("MADV_REMOVE of one", madvise(at(0, 0), 8 * PAGE, MADV_REMOVE));
	line("removed");
	unmap_arena();
	line("unmapped");
}

static void child(void)
{
	printf("%lu\n", wrong(at(0, 0), 512, 1));
	*at(0, 20) = 5;
}

static void objects(void)
{
	int fd = memfd_create("m", 0);
	forget_counters();
	ftruncate(fd, 2 * HUGE);
	mmap(at(0, 0), 2 * HUGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0);
	(void)*(volatile char *)at(0, 7);
	line("private, a read");
	*at(0, 8) = 1;
	line("a write");
	unmap_arena();
	mmap(at(0, 0), 2 * HUGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
	fill(at(0, 0), 512, 1);
	line("shared");
	in_child(child());
	printf("%d\n", *at(0, 20));
	mmap(at(64, 0), HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	(void)*(volatile char *)at(64, 7);
	line("mapped twice");
	mmap(at(129, 0), HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	(void)*(volatile char *)at(129, 7);
	munmap(at(129, 0), HUGE);
	show("ftruncate", ftruncate(fd, HUGE / 2));
	line("truncated");
	show("ftruncate", ftruncate(fd, HUGE));
	printf("%lu\n", wrong(at(0, 0), 20, 1));
	unmap_arena();
	close(fd);
	fd = memfd_create("m", 0);
	show("write", pwrite(fd, "x", 1, 5000));
	line("written with write");
	struct stat st;
	fstat(fd, &st);
	printf("blocks %ld blksize %ld\n", (long)st.st_blocks, (long)st.st_blksize);
	ftruncate(fd, 0);
	show("fallocate", fallocate(fd, 0, 0, HUGE + PAGE));
	line("fallocated");
	show("punch a page", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * PAGE, PAGE));
	line("punched");
	close(fd);
	line("closed");
}

static void collapse(void)
{
	setting("enabled", "never");
	setting("shmem_enabled", "never");
	forget_counters();
	map(0, 1024, RW, MAP_PRIVATE);
	show("COLLAPSE of nothing", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	*at(0, 5) = 1;
	show("COLLAPSE of a page", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	report("collapsed");
	show("COLLAPSE again", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	show("COLLAPSE of both", madvise(at(0, 0), 2 * HUGE, MADV_COLLAPSE));
	touch(at(2, 0), 512, 0);
	show("COLLAPSE of zeros", madvise(at(2, 0), HUGE, MADV_COLLAPSE));
	fill(at(2, 0), 512, 9);
	mprotect(at(2, 0), HUGE, PROT_READ);
	show("COLLAPSE of read-only memory", madvise(at(2, 0), HUGE, MADV_COLLAPSE));
	mprotect(at(2, 0), HUGE, RW);
	show("COLLAPSE of a part", madvise(at(2, 1), HUGE - PAGE, MADV_COLLAPSE));
	show("COLLAPSE of a page", madvise(at(2, 1), PAGE, MADV_COLLAPSE));
	show("COLLAPSE of it all", madvise(at(2, 0), HUGE, MADV_COLLAPSE));
	report("collapsed");
	printf("%lu\n", wrong(at(2, 0), 512, 9));
	show("MADV_NOHUGEPAGE", madvise(at(0, 0), 2 * HUGE, MADV_NOHUGEPAGE));
	show("COLLAPSE", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	unmap_arena();
	map(1, 512, RW, MAP_PRIVATE);
	touch(at(1, 0), 512, 1);
	show("COLLAPSE off alignment", madvise(at(1, 0), HUGE, MADV_COLLAPSE));
	unmap_arena();
	shared(0, 1024);
	show("COLLAPSE of empty shared memory", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	fill(at(0, 0), 100, 3);
	forget_counters();
	show("COLLAPSE of shared memory", madvise(at(0, 0), HUGE, MADV_COLLAPSE));
	line("collapsed");
	printf("%lu\n", wrong(at(0, 0), 100, 3));
	munmap(at(0, 511), PAGE);
	printf("%lu\n", wrong(at(0, 0), 100, 3));
	line("split");
	unmap_arena();
	int fd = memfd_create("m", 0);
	ftruncate(fd, 2 * HUGE);
	mmap(at(0, 0), 2 * HUGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
	mmap(at(64, 0), 2 * HUGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
	fill(at(0, 0), 1024, 4);
	printf("%lu\n", wrong(at(64, 0), 1024, 4));
	show("COLLAPSE of a memfd", madvise(at(0, 0), 2 * HUGE, MADV_COLLAPSE));
	line("collapsed");
	printf("%lu\n", wrong(at(64, 0), 1024, 4));
	line("seen elsewhere");
	unmap_arena();
	close(fd);
	line("the end");
}

int main(void)
{
	usual_settings();
	report("");
	forget_counters();
	enabled();
	changes();
	objects();
	collapse();
	return 0;
}
