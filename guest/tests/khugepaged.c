/* khugepaged.c: what the daemon collapses when it is let loose, and what not: its limits, whom it knows of, what its counters count. It runs only while scans()
 * waits for it; how often it comes by meanwhile is not the same in two runs, what it leaves is. */
#include "thp.h"
#include <sys/wait.h>

static long of_daemon(const char *name)
{
	char path[128], text[32] = "-1";
	snprintf(path, sizeof(path), THP "khugepaged/%s", name);
	int fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		return -2;
	close(fd);
	return strtol(text, NULL, 10);
}

/* Two full scans from now on: the first may have begun before what it is to find was there. Gives up after half a minute. */
static void scans(void)
{
	long before = of_daemon("full_scans");
	int tries = 0;
	setting("khugepaged/scan_sleep_millisecs", "10");
	while (of_daemon("full_scans") < before + 2 && tries++ < 3000)
		usleep(10000);
	setting("khugepaged/scan_sleep_millisecs", "4000000000");
	/* It is woken by that, once more. */
	usleep(100000);
	if (tries >= 3000)
		printf("khugepaged has not come\n");
}

/* No scan within so long a time that there should have been many. */
static void no_scan(const char *what)
{
	long before = of_daemon("full_scans");
	setting("khugepaged/scan_sleep_millisecs", "10");
	usleep(300000);
	printf("%s: %s\n", what, of_daemon("full_scans") == before ? "no scan" : "scans");
	setting("khugepaged/scan_sleep_millisecs", "4000000000");
	usleep(100000);
}

static long last_collapsed;
static void collapsed(const char *what)
{
	long now = of_daemon("pages_collapsed");
	report(what);
	printf("%s: pages_collapsed %+ld\n", what, now - last_collapsed);
	last_collapsed = now;
}

/* As above, where each scan counts something again. */
static void counted(const char *what)
{
	long now = of_daemon("pages_collapsed");
	report(what);
	printf("%s: pages_collapsed %s\n", what, now > last_collapsed ? "grows" : "stays");
	last_collapsed = now;
}

/* Small pages that are candidates from now on. */
static char *small(unsigned long mib, unsigned long pages, unsigned seed)
{
	char *at_ = map(mib, 512, RW, MAP_PRIVATE);
	madvise(at_, HUGE, MADV_NOHUGEPAGE);
	fill(at_, pages, seed);
	madvise(at_, HUGE, MADV_HUGEPAGE);
	return at_;
}

static void anonymous(void)
{
	no_scan("nobody is known yet");
	small(0, 1, 7);
	/* The first to be known wakes it; if it comes while madvise still has the address space locked, it passes it over. */
	usleep(300000);
	unmap_arena();
	forget_counters();
	last_collapsed = of_daemon("pages_collapsed");
	char *one = small(0, 1, 7);
	report("one page");
	scans();
	collapsed("scanned");
	printf("wrong %lu\n", wrong(one, 1, 7));
	scans();
	collapsed("scanned again");
	*at(0, 3) = 1;
	madvise(at(0, 9), PAGE, MADV_DONTNEED);
	report("a page given back");
	scans();
	collapsed("which comes back");
	unmap_arena();

	map(0, 1024, RW, MAP_PRIVATE);
	madvise(at(0, 0), 2 * HUGE, MADV_NOHUGEPAGE);
	touch(at(0, 0), 1024, 1);
	madvise(at(1, 0), HUGE, MADV_HUGEPAGE);
	scans();
	collapsed("2 MiB off alignment");
	madvise(at(0, 0), HUGE, MADV_HUGEPAGE);
	scans();
	collapsed("and all of it");
	unmap_arena();

	map(0, 512, RW, MAP_PRIVATE);
	madvise(at(0, 0), HUGE, MADV_NOHUGEPAGE);
	touch(at(0, 0), 512, 0);
	madvise(at(0, 0), HUGE, MADV_HUGEPAGE);
	scans();
	collapsed("zero pages only");
	*at(0, 5) = 1;
	scans();
	collapsed("and one written");
	unmap_arena();

	small(0, 100, 1);
	mprotect(at(0, 0), HUGE, PROT_READ);
	scans();
	collapsed("read-only");
	mprotect(at(0, 0), HUGE, RW);
	*at(0, 0) = *at(0, 0);
	scans();
	collapsed("writable");
	unmap_arena();
}

static void limits(void)
{
	setting("khugepaged/max_ptes_none", "510");
	small(0, 1, 3);
	small(4, 2, 3);
	scans();
	collapsed("max_ptes_none 510: one page, two pages");
	setting("khugepaged/max_ptes_none", "0");
	unmap_arena();
	small(0, 511, 3);
	small(4, 512, 3);
	scans();
	collapsed("max_ptes_none 0: 511 pages, all");
	printf("wrong %lu %lu\n", wrong(at(0, 0), 511, 3), wrong(at(4, 0), 512, 3));
	setting("khugepaged/max_ptes_none", "511");
	unmap_arena();
}

static void wait_for(int fd)
{
	char c;
	if (read(fd, &c, 1) < 0)
		perror("read");
}

/* What a child shares: max_ptes_shared counts it, and both see what they saw. */
static void forked(void)
{
	int go[2];
	if (pipe(go) < 0)
		return;
	small(0, 512, 11);
	setting("khugepaged/max_ptes_shared", "255");
	pid_t child = fork();
	if (child == 0) {
		wait_for(go[0]);
		_exit(wrong(at(0, 0), 512, 11) != 0);
	}
	touch(at(0, 0), 256, 1);
	scans();
	collapsed("256 shared, 255 may be");
	touch(at(0, 0), 257, 1);
	scans();
	collapsed("255 shared");
	int status = -1;
	if (write(go[1], "x", 1) < 0)
		perror("write");
	waitpid(child, &status, 0);
	printf("the child finds %d\n", status);
	setting("khugepaged/max_ptes_shared", "256");
	close(go[0]);
	close(go[1]);
	unmap_arena();
}

static void shared(void)
{
	char *one = map(0, 1024, RW, MAP_SHARED);
	fill(one, 600, 5);
	report("shared, small");
	setting("shmem_enabled", "always");
	scans();
	counted("scanned");
	report("nobody maps it");
	*(volatile char *)at(0, 511);
	report("a read");
	printf("wrong %lu\n", wrong(one, 600, 5));
	report("all read");
	scans();
	counted("scanned again");
	setting("shmem_enabled", "never");
	scans();
	collapsed("never");
	unmap_arena();

	map(0, 512, RW, MAP_SHARED);
	touch(at(0, 0), 512, 1);
	setting("shmem_enabled", "advise");
	scans();
	collapsed("not advised");
	madvise(at(0, 0), HUGE, MADV_HUGEPAGE);
	scans();
	counted("advised");
	setting("shmem_enabled", "never");
	setting("khugepaged/max_ptes_none", "100");
	map(4, 512, RW, MAP_SHARED);
	touch(at(4, 0), 411, 1);
	map(8, 512, RW, MAP_SHARED);
	touch(at(8, 0), 412, 1);
	setting("shmem_enabled", "always");
	scans();
	touch(at(4, 0), 1, 0);
	touch(at(8, 0), 1, 0);
	counted("411 and 412 pages, 100 may miss");
	setting("khugepaged/max_ptes_none", "511");
	setting("shmem_enabled", "never");
	unmap_arena();
}

static void switches(void)
{
	small(0, 5, 1);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	scans();
	collapsed("PR_SET_THP_DISABLE");
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	setting("enabled", "never");
	no_scan("never");
	collapsed("never");
	setting("hugepages-2048kB/enabled", "madvise");
	scans();
	collapsed("never, but 2 MiB: madvise");
	setting("hugepages-2048kB/enabled", "inherit");
	setting("enabled", "always");
	unmap_arena();
	show("pages_to_scan 0", setting("khugepaged/pages_to_scan", "0"));
	setting("khugepaged/pages_to_scan", "1");
	for (unsigned i = 0; i < 4; i++)
		small(4 * i, 3, i);
	scans();
	collapsed("a page at a time");
	setting("khugepaged/pages_to_scan", "4096");
	unmap_arena();
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	usual_settings();
	forget_counters();
	anonymous();
	limits();
	forked();
	shared();
	switches();
	return 0;
}
