/* abi-hugetlb-gigantic.c: a page of 1 GiB in a region: one memory for the processes that attach, whatever their windows; what it costs; what there is when none is left.
 * Nothing looks at more than a few bytes of it, and it is taken once. */
#include "region.h"
#include <linux/mman.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-1048576kB/"

static long of_pool(const char *name)
{
	char path[128], text[32] = "-1";
	snprintf(path, sizeof(path), POOL "%s", name);
	int fd = open(path, O_RDONLY);
	expect(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, name);
	close(fd);
	return strtol(text, NULL, 10);
}

static long map_page(int fd, unsigned long offset, unsigned flags)
{
	struct mshare_map map = { .offset = offset, .size = GIB, .prot = RW, .flags = ANON | MAP_HUGETLB | MAP_HUGE_1GB | flags, .obj_fd = -1 };
	return mshare_map(fd, &map, sizeof(map));
}

int main(void)
{
	catch_faults();
	int pool = open(POOL "nr_hugepages", O_WRONLY);
	expect_is(write(pool, "1", 1), 1, "a pool of one");
	close(pool);
	expect_is(of_pool("free_hugepages"), 1, "which is free");

	int fd = region(2 * GIB);
	expect_is(map_page(fd, GIB, 0), GIB, "mapped in a region");
	expect_is(of_pool("resv_hugepages"), 1, "and reserved");
	expect_error(map_page(fd, 0, 0), ENOMEM, "a second: none to be reserved");
	expect_is(map_page(fd, 0, MAP_NORESERVE), 0, "not reserved");
	char *at = window_on(fd), *page = at + GIB;
	page[GIB - 1] = 5;
	expect_is(of_pool("free_hugepages"), 0, "the first write takes it");
	expect_text(try_write(at), "BUS_ADRERR", "none is left for the other");
	expect_in_child({
		expect_is(page[GIB - 1], 5, "a child sees what was written");
		page[GIB / 2] = 6;
		char *again = window_on(fd);
		expect_is(again[GIB + GIB / 2], 6, "in a window of its own too");
	});
	expect_is(page[GIB / 2], 6, "and its parent what the child wrote");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.resident, GIB, "resident");
	expect_is(st.mapped, 2 * GIB, "mapped");
	if (!(st.flags & MSHARE_STAT_NO_SHARE)) {
		expect_is(st.table_bytes, PAGE, "the region has one table below its root: there is a leaf of 1 GiB in it");
		expect_is(st.links, 1, "this process has one entry for it");
	}
	char *view = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
	expect_is(view[GIB + GIB / 2], 6, "a read-only window");
	expect_text(try_write(view + GIB), "SEGV_ACCERR", "which is not written");
	char *own = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
	expect_is(own[GIB + GIB / 2], 6, "a private one");
	expect_text(try_write(own + GIB), "BUS_ADRERR", "for whose copy there is no page");
	expect_error(mshare_unmap(fd, GIB, 2 * MIB), EINVAL, "a part is not unmapped");
	/* Windows are put at multiples of 512 GiB by chance: one that is free. */
	char *place = (char *)(512 * GIB);
	while (place == at || place == view || place == own)
		place += 512 * GIB;
	expect_error(mshare_attach(fd, 0, 0, place + GIB, MSHARE_FIXED) == MAP_FAILED ? -1 : 0, EINVAL, "nor shown where 512 GiB cannot be linked");
	expect_is(mshare_unmap(fd, GIB, GIB), 0, "all of it is");
	expect_text(try_read(page), "SEGV_MAPERR", "gone");
	expect_text(try_read(view + GIB), "SEGV_MAPERR", "everywhere");
	expect_is(of_pool("free_hugepages"), 1, "and free again");
	close(fd);
	return failures ? 1 : 0;
}
