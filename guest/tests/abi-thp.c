/* abi-thp.c: transparent huge pages in regions (DESIGN.md: huge leaves are the region's own; where a window links page tables there are none). The
 * settings are those of REFERENCE.md's kernel: shmem "always" gives huge leaves in a region. */
#include "region.h"

#define HUGE GRANULE
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void set(const char *name, const char *value)
{
	char path[100];
	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s", name);
	int fd = open(path, O_WRONLY);
	expect_is(write(fd, value, strlen(value)), (long)strlen(value), value);
	close(fd);
}

static long mapped(void)
{
	return proc_number("/proc/meminfo", "ShmemPmdMapped:");
}

static long pages(void)
{
	return proc_number("/proc/meminfo", "ShmemHugePages:");
}

static void fill(char *at, unsigned long size, unsigned seed)
{
	for (unsigned long i = 0; i < size / PAGE; i++)
		*(unsigned *)(at + i * PAGE + 8) = seed + (unsigned)i;
}

static long bad(char *at, unsigned long size, unsigned seed)
{
	long wrong = 0;
	for (unsigned long i = 0; i < size / PAGE; i++)
		wrong += *(volatile unsigned *)(at + i * PAGE + 8) != seed + (unsigned)i;
	return wrong;
}

static int shared_tables;

/* khugepaged comes by, twice in full; not if it has not within ten seconds. */
static void let_khugepaged_scan(void)
{
	static const char scans[] = "/sys/kernel/mm/transparent_hugepage/khugepaged/full_scans";
	long before = proc_number(scans, "");
	set("khugepaged/scan_sleep_millisecs", "4");
	for (int i = 0; i < 1000 && proc_number(scans, "") < before + 2; i++)
		usleep(10000);
	set("khugepaged/scan_sleep_millisecs", "4000000000");
	expect(proc_number(scans, "") >= before + 2, "khugepaged has been there");
}

/* A region is scanned as a process is; its windows see no difference. Where they link page tables the pages stay small. */
static void collapsed_by_khugepaged(unsigned long size)
{
	set("enabled", "always");
	set("shmem_enabled", "never");
	int fd = region(size);
	map_anon(fd, 0, size, RW);
	char *window = window_on(fd);
	fill(window, HUGE, 9000);
	char *view = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
	char *odd = mshare_attach(fd, 0, 0, (void *)(0x2000000000 + 3 * HUGE), MSHARE_FIXED);
	/* Links what tables there are. */
	expect_is(bad(odd, HUGE, 9000), 0, "small pages");
	fill(window, size, 9000);
	expect_is(bad(view, size, 9000), 0, "of all");
	set("shmem_enabled", "always");
	/* That mapping makes the region known; khugepaged may come at once. */
	expect_is(mshare_unmap(fd, 3 * HUGE, HUGE), 0, "unmapped");
	expect_is(map_anon(fd, 3 * HUGE, HUGE, RW), 3 * HUGE, "and mapped again");
	fill(window + 3 * HUGE, HUGE, 9000 + 3 * 512);
	let_khugepaged_scan();
	expect_is(pages(), shared_tables ? 6144 : 8192, "the others by khugepaged, where no window links a page table");
	expect_is(bad(window, size, 9000) + bad(view, size, 9000) + bad(odd, size, 9000), 0, "the contents");
	window[HUGE + 3 * PAGE] = 3;
	expect_is(view[HUGE + 3 * PAGE] + odd[HUGE + 3 * PAGE], 6, "one memory");
	expect_is(mshare_detach(odd), 0, "detach");
	let_khugepaged_scan();
	expect_is(pages(), 8192, "when that is gone, all");
	expect_is(bad(window, size, 9000), 0, "the contents");
	if (shared_tables)
		expect_is(mapped(), 8192, "mapped by leaves as they are faulted in again");
	expect_is(mshare_detach(view), 0, "detach");
	close(fd);
	munmap(window, size);
	expect_is(pages(), 0, "all goes with the region");
	set("enabled", "never");
}

int main(void)
{
	catch_faults();
	unsigned long size = 4 * HUGE;
	set("shmem_enabled", "always");
	int fd = region(size);
	shared_tables = !(stat_of(fd).flags & MSHARE_STAT_NO_SHARE);
	expect_is(map_anon(fd, 0, size, RW), 0, "8 MiB of anonymous memory");
	char *window = window_on(fd);
	fill(window, size, 1000);
	expect_is(pages(), 8192, "four huge pages");
	expect_is(mapped(), 8192, "mapped by huge leaves");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.resident, size, "resident: every page");
	if (shared_tables)
		expect_is(st.faults, 4, "four faults");
	expect_is(bad(window, size, 1000), 0, "the contents");
	if (shared_tables)
		expect_is(proc_number("/proc/self/status", "RssMshare:"), 8192, "RssMshare");
	expect_in_child({
		expect_is(bad(window, size, 1000), 0, "a child sees them");
		window[5] = 1;
		expect_is(mapped(), 8192, "and writes to them as they are");
	});

	/* A read-only window has leaves of its own, without W. */
	char *view = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
	expect_is(bad(view, size, 1000), 0, "a read-only window");
	expect_is(mapped(), 8192, "counts no page twice");
	expect_text(try_write(view + HUGE), "SEGV_ACCERR", "and lets nothing be written");
	window[HUGE + 8] = 77;
	expect_is(view[HUGE + 8], 77, "what is written shows");
	window[HUGE + 8] = (char)(1000 + 512);
	st = stat_of(fd);
	expect_is(st.resident, size, "resident counts each page once");

	/* Protection and unmapping of all and of a part, seen by all windows. */
	expect_is(mshare_protect(fd, HUGE, HUGE, PROT_READ), 0, "a huge page read-only");
	expect_text(try_write(window + HUGE), "SEGV_ACCERR", "is denied");
	expect_text(try_read(view + HUGE), "ok", "reading is not");
	expect_is(mshare_protect(fd, HUGE, HUGE, RW), 0, "writable again");
	expect_text(try_write(window + HUGE), "ok", "can be written");
	expect_is(mshare_protect(fd, HUGE + 16 * PAGE, PAGE, PROT_NONE), 0, "a page of it PROT_NONE");
	expect_text(try_read(window + HUGE + 16 * PAGE), "SEGV_ACCERR", "only that page");
	expect_text(try_read(view + HUGE + 16 * PAGE), "SEGV_ACCERR", "in the view too");
	expect_text(try_write(window + HUGE + 17 * PAGE), "ok", "the next can be written");
	expect_is(mshare_protect(fd, HUGE + 16 * PAGE, PAGE, RW), 0, "and back");
	fill(window + HUGE, HUGE, 1512);
	expect_is(bad(view, size, 1000), 0, "the contents are what they were");
	expect_is(mshare_unmap(fd, 2 * HUGE + 100 * PAGE, PAGE), 0, "unmapping a page");
	expect_text(try_read(window + 2 * HUGE + 100 * PAGE), "SEGV_MAPERR", "it is gone");
	expect_text(try_read(view + 2 * HUGE + 100 * PAGE), "SEGV_MAPERR", "in the view too");
	expect_is(bad(window + 2 * HUGE, 100 * PAGE, 2024), 0, "those before it are there");
	expect_is(bad(view + 2 * HUGE + 101 * PAGE, HUGE - 101 * PAGE, 2125), 0, "and those behind");
	expect_is(mshare_advise(fd, 3 * HUGE, HUGE, MADV_REMOVE), 0, "removing a whole one");
	expect_is(view[3 * HUGE + 8], 0, "zeros in the view");
	expect_is(window[3 * HUGE + 8], 0, "and in the window");

	/* A private window: small copies, the region's pages stay. */
	char *private = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
	expect_is(bad(private, HUGE, 1000), 0, "a private window");
	private[3 * PAGE + 8] = 5;
	expect_is(window[3 * PAGE + 8], (char)1003, "its writes are its own");
	expect_is(private[3 * PAGE + 8], 5, "and stay");
	window[4 * PAGE + 8] = 9;
	expect_is(private[4 * PAGE + 8], 9, "others' writes show where it has not written");
	window[4 * PAGE + 8] = (char)1004;
	expect_is(bad(private + 5 * PAGE, HUGE - 5 * PAGE, 1005), 0, "beside the copy");
	expect_is(bad(private + HUGE, HUGE, 1512), 0, "and in the next 2 MiB");
	expect_in_child({
		expect_is(private[3 * PAGE + 8], 5, "a child has the copy");
		private[HUGE + 8] = 6;
		expect_is(window[HUGE + 8], (char)1512, "and makes others");
	});
	expect_is(mshare_detach(private), 0, "detach");
	expect_is(mshare_detach(view), 0, "detach");
	expect_is(bad(window, 2 * HUGE, 1000), 0, "nothing is lost");
	expect_is(mshare_detach(window), 0, "detach");
	close(fd);
	expect_is(pages(), 0, "all goes with the region");

	/* A window at an odd place links page tables: no huge leaf there, and none made later. */
	fd = region(size);
	map_anon(fd, 0, size, RW);
	window = window_on(fd);
	fill(window, size, 5000);
	expect_is(mapped(), 8192, "four huge leaves");
	char *odd = mshare_attach(fd, 0, 0, (void *)(0x2000000000 + 3 * HUGE), MSHARE_FIXED);
	expect(odd != MAP_FAILED, "a window 6 MiB past a multiple of 1 GiB");
	expect_is(bad(odd, HUGE, 5000), 0, "shows the same");
	if (shared_tables) {
		expect_is(mapped(), 6144, "a leaf is split where its table is linked");
		st = stat_of(fd);
		expect_is(bad(odd + PAGE, HUGE - PAGE, 5001), 0, "all of it was linked");
		expect_is(stat_of(fd).faults, st.faults, "without another fault");
		expect_error(mshare_advise(fd, 0, HUGE, MADV_COLLAPSE), EBUSY, "a linked table is not collapsed");
		expect_is(mapped(), 6144, "it stays");
	}
	expect_is(bad(odd, size, 5000), 0, "all of it");
	odd[HUGE + 3 * PAGE] = 3;
	expect_is(window[HUGE + 3 * PAGE], 3, "one memory");
	if (shared_tables) {
		expect_is(mapped(), 0, "no leaf is left");
		expect_is(mshare_unmap(fd, 0, size), 0, "unmapped");
		map_anon(fd, 0, size, RW);
		fill(window, size, 7000);
		expect_is(mapped(), 0, "none is made while tables are linked");
		expect_is(bad(odd, size, 7000), 0, "the contents");
		expect_is(mshare_detach(odd), 0, "detach");
		expect_is(mshare_advise(fd, 0, size, MADV_COLLAPSE), 0, "now they can be collapsed");
		expect_is(mapped(), 8192, "to leaves");
		expect_is(bad(window, size, 7000), 0, "with the contents");
	} else
		expect_is(mshare_detach(odd), 0, "detach");
	close(fd);
	munmap(window, size);

	/* The settings and advice. */
	set("shmem_enabled", "advise");
	fd = region(size);
	map_anon(fd, 0, size, RW);
	window = window_on(fd);
	fill(window, HUGE, 1);
	expect_is(mapped(), 0, "advise: not without advice");
	expect_is(mshare_advise(fd, HUGE, HUGE, MADV_HUGEPAGE), 0, "MADV_HUGEPAGE");
	fill(window + HUGE, HUGE, 513);
	expect_is(mapped(), 2048, "with it");
	expect_is(mshare_advise(fd, 0, size, MADV_NOHUGEPAGE), 0, "MADV_NOHUGEPAGE");
	expect_error(mshare_advise(fd, 0, HUGE, MADV_COLLAPSE), EINVAL, "is kept");
	expect_is(bad(window, 2 * HUGE, 1), 0, "the contents");
	close(fd);
	munmap(window, size);
	expect_is(pages(), 0, "all is gone");
	collapsed_by_khugepaged(size);
	set("shmem_enabled", "never");
	return failures ? 1 : 0;
}
