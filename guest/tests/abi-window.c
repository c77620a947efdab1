/* abi-window.c: memory calls on the addresses of a plain window. */
#include "region.h"
#include <sys/uio.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static void unmapping(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size);
	map_anon(fd, 0, size, RW);
	char *window = window_on(fd);
	window[PAGE] = 1;
	expect_error(munmap(window, PAGE), EINVAL, "munmap of its first page");
	expect_error(munmap(window + PAGE, PAGE), EINVAL, "of a page inside");
	expect_error(munmap(window + GRANULE, size - GRANULE), EINVAL, "of its tail");
	expect_error(munmap(window, GRANULE), EINVAL, "of its head");
	expect_is(window[PAGE], 1, "it is unharmed");
	expect_is(munmap(window, size), 0, "munmap of the size asked for");
	expect_text(try_read(window + PAGE), "SEGV_MAPERR", "detaches");
	expect_is(stat_of(fd).windows, 0, "no window is left");
	window = window_on(fd);
	expect_is(munmap(window, size - 100), 0, "the size is rounded up to a page");
	expect_is(stat_of(fd).windows, 0, "no window is left");

	/* A size that is no multiple of the slot. */
	int odd = region(GRANULE + 3 * PAGE);
	map_anon(odd, 0, GRANULE + 3 * PAGE, RW);
	char *place = (char *)0x3000000000UL;
	char *at = mshare_attach(odd, 0, 0, place, MSHARE_FIXED);
	expect(at == place, "a window of 2 MiB and 3 pages");
	expect_is(munmap(at, 2 * GRANULE - PAGE), 0, "a range that covers all of it");
	close(odd);
	close(fd);
}

static void replacing(void)
{
	unsigned long size = 2 * GRANULE;
	int fd = region(size);
	map_anon(fd, 0, size, RW);
	char *place = (char *)0x3000000000UL;
	char *window = mshare_attach(fd, 0, 0, place + GRANULE, MSHARE_FIXED);
	window[0] = 1;
	expect_error(mmap(window, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL, "MAP_FIXED over its first page");
	expect_error(mmap(window + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL, "inside");
	expect_error(mmap(window - PAGE, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL, "across its start");
	expect_error(mmap(window, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ? -1 : 0, EEXIST, "FIXED_NOREPLACE");
	expect_is(window[0], 1, "it is unharmed");
	char *over = mmap(place, 4 * GRANULE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	expect(over == place, "MAP_FIXED over all of it and more");
	expect_is(place[GRANULE], 0, "replaces it");
	expect_is(stat_of(fd).windows, 0, "which detaches");
	munmap(place, 4 * GRANULE);
	char *first = mshare_attach(fd, 0, 0, place, MSHARE_FIXED), *second = mshare_attach(fd, 0, 0, place + 4 * GRANULE, MSHARE_FIXED);
	expect(first == place && second == place + 4 * GRANULE, "two windows");
	expect_is(munmap(place, 16 * GRANULE), 0, "munmap of a range that covers both");
	expect_is(stat_of(fd).windows, 0, "detaches both");
	close(fd);
}

/* The window's slot holds nothing else, and small windows of the kernel's choice do not sit in each other's. */
static void slots(void)
{
	int fd = region(PAGE);
	map_anon(fd, 0, PAGE, RW);
	char *place = (char *)0x3000000000UL;
	char *window = mshare_attach(fd, 0, 0, place, MSHARE_FIXED);
	expect(window == place, "a window of one page");
	expect_error(mmap(window + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL, "MAP_FIXED into the rest of its slot");
	expect_error((long)mmap(window + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST, "MAP_FIXED_NOREPLACE there");
	char *hint = mmap(window + 16 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(hint != MAP_FAILED && (hint < place || hint >= place + GRANULE), "a hint into it is not taken");
	munmap(hint, PAGE);
	char *next = mmap(window + GRANULE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	expect(next == window + GRANULE, "after it there is room");
	expect_text(try_read(window + PAGE), "SEGV_MAPERR", "the rest of the slot is no memory");
	expect_is(munmap(window, GRANULE), 0, "munmap of its whole slot");
	expect_is(stat_of(fd).windows, 0, "detaches");
	munmap(next, PAGE);
	close(fd);
}

static void other_calls(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size), file = memfd(4 * PAGE);
	map_anon(fd, 0, GRANULE, RW);
	map_file(fd, GRANULE, 4 * PAGE, RW, file, 0);
	char *window = window_on(fd);
	memset(window, 7, 8 * PAGE);
	expect_error(mprotect(window, size, PROT_READ), EINVAL, "mprotect of all of it");
	expect_error(mprotect(window, PAGE, RW), EINVAL, "of a page, though nothing would change");
	expect_error(mremap(window, size, size, 0) == MAP_FAILED ? -1 : 0, EINVAL, "mremap to the same size");
	expect_error(mremap(window, size, 2 * size, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0, EINVAL, "growing");
	expect_error(mremap(window, size, PAGE, 0) == MAP_FAILED ? -1 : 0, EINVAL, "shrinking");
	expect_error(mremap(window, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x3000000000UL) == MAP_FAILED ? -1 : 0, EINVAL, "moving");
	void *ordinary = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect_error(mremap(ordinary, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, window + PAGE) == MAP_FAILED ? -1 : 0, EINVAL, "moving something into it");

	int whole[] = { MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP };
	for (unsigned i = 0; i < 4; i++) {
		expect_is(madvise(window, size, whole[i]), 0, "advice on the whole window");
		expect_error(madvise(window, PAGE, whole[i]), EINVAL, "not on a part");
	}
	madvise(window, size, MADV_DONTFORK);
	expect_in_child(expect_text(try_read(window), "SEGV_MAPERR", "DONTFORK: the child has no window"));
	madvise(window, size, MADV_DOFORK);
	expect_in_child(expect_text(try_read(window), "ok", "DOFORK: it has"));
	int region_advice[] = { MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT };
	for (unsigned i = 0; i < 3; i++) {
		expect_is(madvise(window, PAGE, region_advice[i]), 0, "advice on the region's pages");
		expect_is(madvise(window, size, region_advice[i]), 0, "on all of it");
	}
	expect_is(madvise(window, 4 * PAGE, MADV_DONTNEED), 0, "DONTNEED");
	expect_is(window[PAGE], 7, "has no effect");
	expect_error(madvise(window, PAGE, MADV_REMOVE), EINVAL, "REMOVE");
	expect_error(madvise(window, PAGE, MADV_FREE), EINVAL, "FREE");
	expect_error(madvise(window, PAGE, MADV_WIPEONFORK), EINVAL, "WIPEONFORK");
	expect_error(madvise(window, size, MADV_RANDOM), EINVAL, "RANDOM");
	expect_error(madvise(window, size, MADV_MERGEABLE), EINVAL, "MERGEABLE");
	expect_is(window[PAGE], 7, "the contents stay");
	unsigned long before = stat_of(fd).resident;
	expect_is(madvise(window + 16 * PAGE, 4 * PAGE, MADV_POPULATE_WRITE), 0, "POPULATE_WRITE of untouched pages");
	expect_is(stat_of(fd).resident - before, 4 * PAGE, "brings them in");
	expect_is(madvise(window + 32 * PAGE, 4 * PAGE, MADV_POPULATE_READ), 0, "POPULATE_READ");
	expect_is(stat_of(fd).resident - before, 8 * PAGE, "brings them in");
	expect_error(madvise(window + 2 * GRANULE, PAGE, MADV_POPULATE_READ), ENOMEM, "POPULATE_READ of a hole");

	unsigned char present[4];
	expect_is(mincore(window + 64 * PAGE, 4 * PAGE, present), 0, "mincore");
	expect_is(present[0] & 1, 0, "an untouched page");
	window[66 * PAGE] = 1;
	mincore(window + 64 * PAGE, 4 * PAGE, present);
	expect(!(present[0] & 1) && !(present[1] & 1) && (present[2] & 1) && !(present[3] & 1), "a touched one");
	expect_in_child({
		char *mine = window_on(fd);
		mincore(mine + 64 * PAGE, 4 * PAGE, present);
		expect((present[2] & 1) && !(present[1] & 1), "a page that another process has touched, through a window that was never used");
	});
	expect_is(msync(window, 4 * PAGE, MS_SYNC), 0, "msync");
	expect_is(msync(window + GRANULE, 4 * PAGE, MS_ASYNC), 0, "of a memfd");
	expect_error(msync(window + 2 * GRANULE, PAGE, MS_SYNC), ENOMEM, "of a hole");
	expect_is(mlock(window, 2 * PAGE), 0, "mlock");
	expect_is(mlock(window + 128 * PAGE, PAGE), 0, "of an untouched page");
	mincore(window + 128 * PAGE, PAGE, present);
	expect(present[0] & 1, "brings it in");
	expect_error(mlock(window + 2 * GRANULE, PAGE), ENOMEM, "of a hole");
	expect_is(munlock(window, 2 * PAGE), 0, "munlock");
	expect_is(mlockall(MCL_CURRENT), 0, "mlockall");
	expect_is(munlockall(), 0, "munlockall");
	mshare_detach(window);

	/* An mseal'ed window stays. */
	window = window_on(fd);
	expect_is(syscall(SYS_mseal, window, size, 0), 0, "mseal");
	expect_error(munmap(window, size), EPERM, "munmap of a sealed window");
	expect_error(mshare_detach(window), EPERM, "detach");
	expect_is(window[PAGE], 7, "it stays");
	close(fd);
	close(file);
}

/* The kernel's own access: touched and untouched pages, holes, rights. */
static void kernel_access(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size), ends[2];
	map_anon(fd, 0, GRANULE, RW);
	map_anon(fd, GRANULE, PAGE, PROT_READ);
	map_anon(fd, 2 * GRANULE, PAGE, PROT_NONE);
	char *window = window_on(fd), text[16] = "";
	if (pipe(ends))
		exit(1);
	expect_is(write(ends[1], "hello", 6), 6, "something to read");
	expect_is(read(ends[0], window + 5 * PAGE, 6), 6, "read into an untouched page");
	expect_text(window + 5 * PAGE, "hello", "it is there");
	expect_is(write(ends[1], window + 5 * PAGE, 6), 6, "write from a window");
	expect_is(read(ends[0], text, 6), 6, "arrives");
	expect_text(text, "hello", "as it was");
	expect_is(write(ends[1], window + 9 * PAGE, 4), 4, "write from an untouched page");
	expect_is(read(ends[0], text, 4), 4, "arrives");
	expect_is(text[0], 0, "zeros");
	expect_error(write(ends[1], window + 3 * GRANULE, 4), EFAULT, "write from a hole");
	write(ends[1], "x", 1);
	expect_error(read(ends[0], window + 3 * GRANULE, 1), EFAULT, "read into a hole");
	expect_error(read(ends[0], window + GRANULE, 1), EFAULT, "read into read-only memory");
	expect_error(read(ends[0], window + 2 * GRANULE, 1), EFAULT, "read into PROT_NONE");
	expect_error(write(ends[1], window + 2 * GRANULE, 1), EFAULT, "write from PROT_NONE");
	expect_is(read(ends[0], window + GRANULE - 1, 2), 1, "read into the last byte before it");
	struct iovec local = { text, 6 }, remote = { window + 5 * PAGE, 6 };
	memset(text, 0, sizeof(text));
	expect_is(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 6, "process_vm_readv");
	expect_text(text, "hello", "what was there");
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	remote.iov_base = window + 20 * PAGE;
	expect_is(process_vm_writev(child, &local, 1, &remote, 1, 0), 6, "process_vm_writev into a child's untouched window");
	expect_text(window + 20 * PAGE, "hello", "is seen by all");
	kill(child, SIGKILL);
	ended(child);
	expect_error(open(window + 3 * GRANULE, O_RDONLY), EFAULT, "a path in a hole");
	strcpy(window + 6 * PAGE, "/");
	expect(open(window + 6 * PAGE, O_RDONLY | O_DIRECTORY) >= 0, "a path in a window");
	mshare_detach(window);
	close(fd);
}

/* Access of the process itself. */
static void access_rights(void)
{
	unsigned long size = 8 * GRANULE;
	int fd = region(size), file = memfd(PAGE);
	map_anon(fd, 0, PAGE, PROT_READ);
	map_anon(fd, GRANULE, PAGE, PROT_NONE);
	map_anon(fd, 2 * GRANULE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_file(fd, 3 * GRANULE, 2 * PAGE, RW, file, 0);
	map_anon(fd, 4 * GRANULE, PAGE, RW);
	char *window = window_on(fd);
	expect_text(try_write(window), "SEGV_ACCERR", "writing read-only memory");
	expect_text(try_read(window), "ok", "reading it");
	expect_text(try_write(window), "SEGV_ACCERR", "writing it now that it is present");
	expect_text(try_read(window + GRANULE), "SEGV_ACCERR", "PROT_NONE");
	expect_text(try_read(window + PAGE), "SEGV_MAPERR", "no object");
	expect_text(try_read(window + 3 * GRANULE + PAGE), "BUS_ADRERR", "beyond a file's end");
	expect_text(try_write(window + 3 * GRANULE), "ok", "the file's page");
	expect_is(ftruncate(file, 0), 0, "truncating it");
	expect_text(try_read(window + 3 * GRANULE), "BUS_ADRERR", "then it is beyond the end");
	expect_is(ftruncate(file, PAGE), 0, "growing it");
	expect_text(try_read(window + 3 * GRANULE), "ok", "it is there again");
	expect_is(window[3 * GRANULE], 0, "as zeros");
#ifdef __riscv
	/* li a0, 42; ret */
	unsigned code[] = { 0x02a00513, 0x00008067 };
	memcpy(window + 2 * GRANULE, code, sizeof(code));
	__asm__ volatile("fence.i" ::: "memory");
	expect_is(((int (*)(void))(window + 2 * GRANULE))(), 42, "code in a window runs");
	memcpy(window + 4 * GRANULE, code, sizeof(code));
	if (sigsetjmp(touch_back, 1) == 0) {
		((int (*)(void))(window + 4 * GRANULE))();
		expect(0, "code in memory without PROT_EXEC ran");
	} else {
		expect_text(fault_name(window + 4 * GRANULE), "SEGV_ACCERR", "code in memory without PROT_EXEC");
	}
	mshare_protect(fd, 4 * GRANULE, PAGE, PROT_READ | PROT_EXEC);
	expect_is(((int (*)(void))(window + 4 * GRANULE))(), 42, "with it");
#endif
	mshare_detach(window);
	close(fd);
}

int main(void)
{
	catch_faults();
	unmapping();
	replacing();
	slots();
	other_calls();
	kernel_access();
	access_rights();
	return failures != 0;
}
