/* abi-hugetlb.c: huge pages in regions: MAP_HUGETLB and files of huge pages; where windows must lie; read-only, private and passthrough windows over them. */
#include "region.h"
#include <linux/mman.h>

#define HUGE (2UL << 20)
#define PIECE GIB /* what one entry above a 2 MiB leaf covers */

static void set_pool(long pages)
{
	char text[32];
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY), length = snprintf(text, sizeof(text), "%ld\n", pages);
	if (fd < 0 || write(fd, text, length) != length || proc_number("/proc/meminfo", "HugePages_Total:") != pages)
		printf("FAIL no pool of %ld pages\n", pages), exit(1);
	close(fd);
}

static long free_pages(void)
{
	return proc_number("/proc/meminfo", "HugePages_Free:");
}

static long reserved(void)
{
	return proc_number("/proc/meminfo", "HugePages_Rsvd:");
}

/* A number of smaps for the mapping at that address, in KiB. */
static long smaps(void *at, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[512];
	unsigned long start, end;
	long value = -1;
	int here = 0;
	while (f && fgets(text, sizeof(text), f)) {
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2 && strchr(text, '-') < strchr(text, ' '))
			here = start == (unsigned long)at;
		else if (here && !strncmp(text, key, strlen(key)))
			value = strtol(text + strlen(key), NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}

static long map_huge(int fd, unsigned long offset, unsigned long size, unsigned flags)
{
	return map_flags(fd, offset, size, RW, ANON | MAP_FIXED | MAP_HUGETLB | flags, -1, 0);
}

static void mapping(void)
{
	int fd = region(16 * HUGE), plain = memfd(4 * HUGE);
	expect_error(map_huge(fd, 0, 20 * HUGE, 0), EINVAL, "past the end");
	set_pool(0);
	expect_error(map_huge(fd, 0, HUGE, 0), ENOMEM, "no pages in the pool");
	set_pool(6);
	expect_error(map_huge(fd, 0, 8 * HUGE, 0), ENOMEM, "too few pages");
	expect_error(map_huge(fd, 0, HUGE, 16u << MAP_HUGE_SHIFT), EINVAL, "a size that there is not");
	expect_error(map_flags(fd, 0, HUGE, RW, MAP_SHARED | MAP_FIXED | MAP_HUGETLB, plain, 0), EINVAL, "MAP_HUGETLB with a plain memfd");
	expect_error(map_huge(fd, PAGE, HUGE, 0), EINVAL, "an offset inside of a page");
	expect_is(map_huge(fd, 0, 4 * HUGE, 0), 0, "four pages");
	expect_is(reserved(), 4, "are reserved");
	expect_is(free_pages(), 6, "and free");
	char *at = window_on(fd);
	expect_text(try_write(at), "ok", "the first");
	expect_text(try_write(at + 2 * HUGE - 1), "ok", "the second");
	expect_is(free_pages(), 4, "two are taken");
	expect_is(reserved(), 2, "two still reserved");
	expect_error(mshare_unmap(fd, 0, PAGE), EINVAL, "unmapping part of a page");
	expect_error(mshare_unmap(fd, PAGE, HUGE), EINVAL, "or of two");
	expect_error(mshare_protect(fd, 0, PAGE, PROT_READ), EINVAL, "protecting part of one");
	expect_is(mshare_protect(fd, 0, HUGE, PROT_READ), 0, "protecting one");
	expect_text(try_write(at + PAGE), "SEGV_ACCERR", "denies writing");
	expect_text(try_write(at + HUGE), "ok", "not the next");
	expect_is(mshare_protect(fd, 0, HUGE, RW), 0, "RW again");
	expect_text(try_write(at + PAGE), "ok", "writable");
	expect_is(mshare_advise(fd, 0, HUGE, MADV_DONTNEED), 0, "DONTNEED");
	expect_is(at[PAGE], 1, "loses nothing");
	expect_is(mshare_advise(fd, 0, HUGE, MADV_REMOVE), 0, "REMOVE");
	expect_is(free_pages(), 5, "gives the page back");
	expect_is(at[PAGE], 0, "and it is zeros");
	expect_error(mshare_advise(fd, 0, HUGE, MADV_PAGEOUT), EINVAL, "PAGEOUT");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.mapped, 4 * HUGE, "mapped");
	expect_is(st.resident, 2 * HUGE, "resident");
	expect_is(proc_number("/proc/self/status", "RssMshare:"), 4096, "RssMshare counts them");
	expect_is(proc_number("/proc/self/status", "HugetlbPages:"), 0, "HugetlbPages does not");
	expect_is(smaps(at, "Rss:"), 0, "nor does Rss of smaps");
	expect_is(smaps(at, "Private_Hugetlb:") + smaps(at, "Shared_Hugetlb:"), 4096, "there they are hugetlb");
	unsigned char core[1024];
	expect_is(mincore(at, 2 * HUGE, core), 0, "mincore");
	expect_is(core[0] + core[511] + core[512] + core[1023], 4, "all there");
	expect_is(mincore(at + 2 * HUGE, 2 * HUGE, core), 0, "mincore of the others");
	expect_is(core[0] + core[1023], 0, "not there");
	expect_is(mshare_lock(fd, 2 * HUGE, HUGE, 0), 0, "lock");
	expect_is(free_pages(), 3, "brings a page in");
	expect_is(mshare_unlock(fd, 2 * HUGE, HUGE), 0, "unlock");
	expect_is(mshare_sync(fd, 0, 4 * HUGE, MS_SYNC), 0, "sync");
	int ends[2];
	if (pipe(ends))
		exit(1);
	strcpy(at + 3 * HUGE, "through a window");
	expect_is(write(ends[1], at + 3 * HUGE, 16), 16, "write(2) from it");
	expect_is(read(ends[0], at + HUGE - 8, 16), 16, "read(2) into it, over two pages");
	expect(!memcmp(at + HUGE - 8, "through a window", 16), "arrives");
	expect_in_child({
		expect(!memcmp(at + HUGE - 8, "through a window", 16), "a child sees it");
		at[7] = 77;
	});
	expect_is(at[7], 77, "and its writes are seen");
	struct mshare_remap move = { .old_offset = 3 * HUGE, .old_size = HUGE, .new_offset = 8 * HUGE, .new_size = HUGE, .flags = MREMAP_MAYMOVE | MREMAP_FIXED };
	expect_is(mshare_remap(fd, &move, sizeof(move)), 8 * HUGE, "remap of a page");
	expect_is(at[8 * HUGE], 't', "moves it");
	expect_text(try_read(at + 3 * HUGE), "SEGV_MAPERR", "away");
	move.old_offset = 8 * HUGE, move.new_size = 2 * HUGE, move.flags = MREMAP_MAYMOVE;
	expect_error(mshare_remap(fd, &move, sizeof(move)), EINVAL, "growing it");
	expect_is(mshare_unmap(fd, 8 * HUGE, HUGE), 0, "unmap");
	expect_is(mshare_unmap(fd, 0, 3 * HUGE), 0, "unmap the others");
	expect_is(free_pages(), 6, "all pages are back");
	expect_is(reserved(), 0, "none reserved");
	expect_text(try_read(at), "SEGV_MAPERR", "nothing is there");
	expect_is(map_anon(fd, 0, HUGE, RW), 0, "small pages in their place");
	expect_text(try_write(at + PAGE), "ok", "work");
	expect_is(map_huge(fd, 0, PAGE, 0), 0, "a huge one over them, its size rounded up");
	expect_is(at[PAGE], 0, "is new");
	expect_text(try_write(at + HUGE - 1), "ok", "to its end");
	long found = map_flags(fd, 0, 2 * HUGE, RW, ANON | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	expect_is(found, HUGE, "where the kernel likes: the next multiple");
	expect_is(map_flags(fd, 12 * HUGE, HUGE, RW, ANON | MAP_FIXED | MAP_HUGETLB | MAP_NORESERVE, -1, 0), 12 * HUGE, "NORESERVE");
	set_pool(3);
	expect_text(try_write(at + 12 * HUGE), "BUS_ADRERR", "none left: SIGBUS");
	expect_error(madvise(at + 12 * HUGE, PAGE, MADV_POPULATE_WRITE), EFAULT, "populating says EFAULT");
	expect_error(read(open("/dev/zero", O_RDONLY), at + 12 * HUGE, 1), EFAULT, "so does read(2)");
	expect_text(try_write(at + HUGE), "ok", "what is reserved is there");
	expect_is(mshare_detach(at), 0, "detach");
	close(plain);
	close(fd);
	expect_is(free_pages(), 3, "the region's end gives all back");
}

static void files(void)
{
	set_pool(6);
	int fd = region(8 * HUGE), file = memfd_create("huge", MFD_HUGETLB);
	expect_is(ftruncate(file, 4 * HUGE), 0, "a memfd of huge pages");
	expect_error(map_file(fd, 0, HUGE, RW, file, PAGE), EINVAL, "an offset inside of a page");
	expect_is(map_file(fd, 2 * HUGE, 2 * HUGE, RW, file, HUGE), 2 * HUGE, "mapped from its second page");
	char *at = window_on(fd), *own = mmap(NULL, 4 * HUGE, RW, MAP_SHARED, file, 0);
	strcpy(at + 2 * HUGE, "in the region");
	expect_text(own + HUGE, "in the region", "a mapping of the file shows it");
	own[2 * HUGE + 5] = 9;
	expect_is(at[3 * HUGE + 5], 9, "and the other way round");
	expect_is(ftruncate(file, 2 * HUGE), 0, "truncated");
	expect_text(try_read(at + 3 * HUGE), "BUS_ADRERR", "beyond the end");
	expect_is(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HUGE, HUGE), 0, "a hole");
	expect_is(at[2 * HUGE], 0, "is zeros");
	expect_is(map_flags(fd, 6 * HUGE, HUGE, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_HUGETLB, file, 0), 6 * HUGE, "MAP_HUGETLB with such a file");
	expect_text(try_write(at + 6 * HUGE), "SEGV_ACCERR", "read-only");
	mshare_detach(at);
	munmap(own, 4 * HUGE);
	close(fd);
	close(file);
	expect_is(free_pages(), 6, "all back");
}

static void places(void)
{
	set_pool(4);
	int fd = region(2 * PIECE);
	char *odd = mshare_attach(fd, 0, 0, (void *)(0x3000000000UL + 3 * GRANULE), MSHARE_FIXED);
	expect(odd != MAP_FAILED, "a window at an odd place");
	expect_error(map_huge(fd, 0, HUGE, 0), EBUSY, "cannot show huge leaves: map");
	expect_is(mshare_detach(odd), 0, "detached");
	char *part = mshare_attach(fd, 0, PIECE + 4 * GRANULE, (void *)0x3000000000UL, MSHARE_FIXED);
	expect(part != MAP_FAILED, "a window that ends inside of a piece");
	expect_error(map_huge(fd, PIECE, HUGE, 0), EBUSY, "cannot in its last part");
	expect_is(map_huge(fd, 0, HUGE, 0), 0, "but before");
	expect_is(map_huge(fd, PIECE + 8 * HUGE, HUGE, 0), PIECE + 8 * HUGE, "and what it does not show is no matter");
	expect_text(try_write(part), "ok", "written there");
	struct mshare_stat st = stat_of(fd);
	if (!(st.flags & MSHARE_STAT_NO_SHARE))
		expect_is(st.links, 1, "by one link");
	errno = 0;
	expect_error(mshare_attach(fd, 0, 0, (void *)(0x4000000000UL + GRANULE), MSHARE_FIXED) == MAP_FAILED ? -1 : 0, EINVAL, "attach at an odd place");
	expect_error(mshare_attach(fd, 0, 2 * GRANULE, (void *)0x4000000000UL, MSHARE_FIXED) == MAP_FAILED ? -1 : 0, EINVAL, "or of a part of a piece");
	char *hinted = mshare_attach(fd, 0, 0, (void *)(0x4000000000UL + GRANULE), 0);
	expect(hinted != MAP_FAILED && hinted != (char *)0x4000000000UL + GRANULE, "as a hint: elsewhere");
	expect_is(hinted[0], 1, "where the page shows");
	char *tail = mshare_attach(fd, PIECE, 0, NULL, 0);
	expect(tail != MAP_FAILED, "the second half, where the kernel likes");
	expect_text(try_write(tail + 8 * HUGE), "ok", "shows the other page");
	expect_is(hinted[PIECE + 8 * HUGE], 1, "as the first window does");
	expect_text(try_write(tail + HUGE), "SEGV_MAPERR", "a hole");
	struct mshare_map big = { .offset = 0, .size = GIB, .prot = RW, .flags = ANON | MAP_HUGETLB | MAP_HUGE_1GB | MAP_NORESERVE, .obj_fd = -1 };
	expect_error(mshare_map(fd, &big, sizeof(big)), ENOMEM, "1 GiB where nothing is free");
	mshare_detach(part), mshare_detach(hinted), mshare_detach(tail);
	close(fd);
	expect_is(free_pages(), 4, "all back");
}

static void views(void)
{
	set_pool(6);
	int fd = region(4 * HUGE), handle = reopen(fd, O_RDONLY);
	map_huge(fd, 0, 3 * HUGE, 0);
	map_anon(fd, 3 * HUGE, HUGE, RW);
	char *at = window_on(fd), *view = mshare_attach(handle, 0, 0, NULL, MSHARE_RDONLY);
	expect_text(try_read(view), "ok", "a read-only window shows an untouched page");
	expect_text(try_write(view), "SEGV_ACCERR", "and does not let it be written");
	strcpy(at + PAGE, "seen");
	expect_text(view + PAGE, "seen", "what is written shows");
	expect_text(try_write(view + PAGE), "SEGV_ACCERR", "still read-only");
	expect_is(mshare_protect(fd, 0, HUGE, PROT_NONE), 0, "PROT_NONE");
	expect_text(try_read(view), "SEGV_ACCERR", "counts in the view");
	expect_is(mshare_protect(fd, 0, HUGE, RW), 0, "RW");
	expect_text(try_write(view), "SEGV_ACCERR", "gives it no more than before");
	expect_is(stat_of(fd).resident, HUGE, "a page counts once");

	char *own = mshare_attach(handle, 0, 0, NULL, MSHARE_PRIVATE);
	expect_text(own + PAGE, "seen", "a private window starts shared");
	own[0] = 5;
	expect_is(at[0], 0, "what it writes is its own");
	expect_is(own[0], 5, "and there");
	expect_text(own + PAGE, "seen", "with the rest of the huge page copied");
	expect_is(free_pages(), 4, "a page of the pool");
	expect_is(proc_number("/proc/self/status", "HugetlbPages:"), 2048, "which counts in HugetlbPages");
	at[HUGE + 9] = 3;
	expect_is(own[HUGE + 9], 3, "other pages stay shared");
	at[3 * HUGE + 9] = 4;
	expect_is(own[3 * HUGE + 9], 4, "small ones too");
	own[3 * HUGE + 8] = 6;
	expect_is(at[3 * HUGE + 8], 0, "and are copied");
	at[3 * HUGE + PAGE] = 8;
	expect_is(own[3 * HUGE + PAGE], 8, "one by one");
	own[2 * HUGE] = 1;
	expect_is(free_pages(), 2, "a write to what nobody touched: a page of its own");
	expect_is(at[2 * HUGE], 0, "the region has its own");
	expect_is(free_pages(), 1, "from its reservation");
	own[HUGE] = 2;
	expect_is(free_pages(), 0, "the last page");
	expect_in_child({
		expect_is(own[0], 5, "a child has the copies");
		expect_text(try_write(own), "BUS_ADRERR", "but no page for one of its own");
	});
	own[0] = 6;
	expect_in_child({
		expect_is(own[0], 6, "the parent takes its page back");
		set_pool(7);
		own[0] = 7;
		expect_is(own[0], 7, "with a page in the pool it has");
	});
	expect_is(own[0], 6, "the parent's is as it was");
	expect_is(madvise(own, HUGE, MADV_DONTNEED), 0, "DONTNEED drops the copy");
	expect_is(own[0], 0, "and the region shows");
	own[0] = 9;
	expect_is(mshare_advise(fd, 0, HUGE, MADV_REMOVE), 0, "REMOVE in the region");
	expect_is(own[0], 0, "drops copies as well");
	expect_is(mshare_unmap(fd, HUGE, HUGE), 0, "so does unmapping");
	expect_text(try_read(own + HUGE), "SEGV_MAPERR", "in the private window");
	expect_text(try_read(view + HUGE), "SEGV_MAPERR", "in the view");
	map_anon(fd, 0, 2 * HUGE, RW);
	expect_text(try_write(own), "ok", "small pages in place of huge ones");
	expect_text(try_read(view + HUGE), "ok", "in all windows");
	expect_text(try_read(own + HUGE), "ok", "in the private one too");
	expect_is(map_huge(fd, 0, 2 * HUGE, 0), 0, "and huge ones again");
	expect_text(try_read(view), "ok", "seen in the view");
	expect_text(try_write(own), "ok", "copied by the private window");
	at[HUGE] = 12;
	expect_is(own[HUGE], 12, "and shown by it");
	expect_is(view[HUGE], 12, "as by the view");
	expect_is(mshare_detach(own), 0, "detached");
	expect_is(mshare_detach(view), 0, "the view");
	expect_is(mshare_detach(at), 0, "the window");
	close(handle);
	close(fd);
	expect_is(free_pages(), 7, "all back");
	expect_is(proc_number("/proc/self/status", "HugetlbPages:"), 0, "nothing of them is the process's");
}

static void passthrough(void)
{
	set_pool(2);
	int fd = region(2 * HUGE);
	map_huge(fd, 0, 2 * HUGE, MAP_POPULATE);
	expect_is(free_pages(), 0, "populated");
	char *at = mshare_attach(fd, 0, 0, NULL, MSHARE_PASSTHROUGH | MSHARE_POPULATE);
	expect_error(munmap(at, PAGE), EINVAL, "munmap of part of a huge page");
	expect_error(mprotect(at, PAGE, PROT_READ), EINVAL, "mprotect of it");
	expect_is(mprotect(at, HUGE, PROT_READ), 0, "mprotect");
	expect_text(try_write(at), "SEGV_ACCERR", "acts on the region");
	expect_is(munmap(at, HUGE), 0, "munmap");
	expect_text(try_read(at), "SEGV_MAPERR", "does as well");
	expect_is(free_pages(), 0, "the object keeps the page");
	expect_is(munmap(at + HUGE, HUGE), 0, "while any of it is mapped");
	expect_is(free_pages(), 2, "and no longer");
	mshare_detach(at);
	close(fd);
}

int main(void)
{
	catch_faults();
	mapping();
	files();
	places();
	views();
	passthrough();
	set_pool(0);
	return failures != 0;
}
