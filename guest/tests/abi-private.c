/* abi-private.c: private windows (MSHARE_PRIVATE): copy-on-write, what stays shared, what drops the copies, fork, accounting. */
#include "region.h"

/* A number of smaps for the mapping at that address, in KiB. */
static long smaps_number(void *at, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[512];
	long value = -1;
	for (int found = 0; f && fgets(text, sizeof(text), f);) {
		unsigned long start, end;
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2)
			found = (unsigned long)at >= start && (unsigned long)at < end;
		else if (found && !strncmp(text, key, strlen(key)))
			value = strtol(text + strlen(key), NULL, 0);
	}
	fclose(f);
	return value;
}

static void copies(void)
{
	unsigned long size = 8 * GRANULE;
	int fd = region(size), handle = reopen(fd, O_RDONLY), ends[2];
	map_anon(fd, 0, 4 * GRANULE, RW);
	char *shared = window_on(fd);
	for (int i = 0; i < 64; i++)
		shared[i * PAGE] = 1;
	long anon = proc_number("/proc/self/status", "RssAnon:");
	char *mine = mshare_attach(handle, 0, 0, NULL, MSHARE_PRIVATE);
	expect(mine != MAP_FAILED, "a private window needs only a read-only descriptor");
	expect_is(mine[5 * PAGE], 1, "it shows the region");
	mine[5 * PAGE] = 2;
	expect_is(mine[5 * PAGE], 2, "it can be written");
	expect_is(shared[5 * PAGE], 1, "which nobody else sees");
	shared[5 * PAGE] = 3;
	expect_is(mine[5 * PAGE], 2, "what others write there later does not show");
	shared[6 * PAGE] = 4;
	expect_is(mine[6 * PAGE], 4, "in the page beside it does");
	shared[2 * GRANULE] = 5;
	expect_is(mine[2 * GRANULE], 5, "and elsewhere");
	mine[GRANULE + PAGE] = 6;
	expect_is(shared[GRANULE + PAGE], 0, "a page that nobody had touched");
	long more = proc_number("/proc/self/status", "RssAnon:") - anon;
	expect(more >= 8 && more <= 8 + 32, "copies are RssAnon of the writer");
	expect_is(smaps_number(mine, "Anonymous:"), 8, "Anonymous in smaps");
	expect_is(smaps_number(shared, "Anonymous:"), 0, "of no other window");
	long pss = proc_number("/proc/self/smaps_rollup", "Pss:"), parts = proc_number("/proc/self/smaps_rollup", "Pss_Anon:")
		+ proc_number("/proc/self/smaps_rollup", "Pss_File:") + proc_number("/proc/self/smaps_rollup", "Pss_Shmem:");
	expect(parts <= pss && parts > pss - 3, "the parts of Pss are all of it");
	expect_text(try_write(mine + 4 * GRANULE), "SEGV_MAPERR", "a hole");
	mshare_protect(fd, 3 * GRANULE, PAGE, PROT_READ);
	expect_text(try_write(mine + 3 * GRANULE), "SEGV_ACCERR", "a page that the region has read-only");
	if (pipe(ends))
		exit(1);
	expect_is(write(ends[1], "hello", 6), 6, "something to read");
	expect_is(read(ends[0], mine + 9 * PAGE, 6), 6, "read(2) into an uncopied page");
	expect_text(mine + 9 * PAGE, "hello", "it is there");
	expect_is(shared[9 * PAGE], 1, "for this process");

	expect_is(mshare_protect(fd, 5 * PAGE, PAGE, PROT_READ), 0, "protecting a copied page");
	expect_text(try_write(mine + 5 * PAGE), "SEGV_ACCERR", "applies to the copy");
	expect_is(mine[5 * PAGE], 2, "which stays");
	expect_is(mshare_protect(fd, 5 * PAGE, PAGE, RW), 0, "RW again");
	expect_text(try_write(mine + 5 * PAGE), "ok", "writable");
	mine[7 * PAGE] = 7, mine[8 * PAGE] = 8, mine[10 * PAGE] = 10, mine[11 * PAGE] = 11;
	expect_is(mshare_advise(fd, 7 * PAGE, PAGE, MADV_DONTNEED), 0, "DONTNEED on the region");
	expect_is(mine[7 * PAGE], 7, "leaves copies");
	expect_is(mshare_advise(fd, 8 * PAGE, PAGE, MADV_REMOVE), 0, "REMOVE");
	expect_is(mine[8 * PAGE], 0, "drops them");
	expect_is(mshare_unmap(fd, 10 * PAGE, PAGE), 0, "unmap");
	expect_text(try_read(mine + 10 * PAGE), "SEGV_MAPERR", "drops them");
	map_anon(fd, 11 * PAGE, PAGE, RW);
	expect_is(mine[11 * PAGE], 0, "replacement drops them");
	expect_is(madvise(mine + 5 * PAGE, PAGE, MADV_DONTNEED), 0, "DONTNEED on the window");
	expect_is(mine[5 * PAGE], 3, "drops its copies: the region shows again");
	expect_error(mprotect(mine, PAGE, PROT_READ), EINVAL, "mprotect");
	expect_error(munmap(mine, PAGE), EINVAL, "partial munmap");
	expect_is(munmap(mine, size), 0, "munmap of all of it");
	expect_is(shared[6 * PAGE], 4, "the region is as it was");
	mshare_detach(shared);
	close(handle);
	close(fd);
}

static void truncation(void)
{
	int fd = region(GRANULE), object = memfd(4 * PAGE);
	map_file(fd, 0, 4 * PAGE, RW, object, 0);
	char *mine = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
	mine[0] = 1;
	mine[2 * PAGE] = 2;
	expect_is(ftruncate(object, PAGE), 0, "truncating the object");
	expect_is(mine[0], 1, "a copy before the new end stays");
	expect_text(try_read(mine + 2 * PAGE), "BUS_ADRERR", "one beyond is dropped");
	expect_text(try_write(mine + 2 * PAGE), "BUS_ADRERR", "and none is made");
	mshare_detach(mine);
	close(object);
	close(fd);
}

/* A zygote: what its children do not touch they share. */
static void zygote(void)
{
	int fd = region(4 * GRANULE);
	map_anon(fd, 0, 4 * GRANULE, RW);
	char *shared = window_on(fd);
	for (unsigned long at = 0; at < 4 * GRANULE; at += PAGE)
		shared[at] = 1;
	char *mine = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
	mine[0] = 2;
	mine[PAGE] = 3;
	for (int i = 0; i < 10; i++)
		expect_in_child({
			expect_is(mine[0], 2, "a child has the zygote's copies");
			mine[0] = 4;
			mine[GRANULE] = 5;
			expect(mine[0] == 4 && mine[GRANULE] == 5 && mine[PAGE] == 3 && mine[2 * PAGE] == 1, "and its own");
			expect(shared[0] == 1 && shared[GRANULE] == 1, "which nobody else sees");
		});
	expect(mine[0] == 2 && mine[GRANULE] == 1, "nor the zygote");
	pid_t child = fork();
	if (child == 0) {
		mine[PAGE] = 9;
		_exit(mine[PAGE] == 9 && mine[0] == 2 ? 0 : 1);
	}
	mine[PAGE] = 8;
	expect_is(ended(child), 0, "both sides of a fork write");
	expect_is(mine[PAGE], 8, "each for itself");
	mshare_detach(mine);
	mshare_detach(shared);
	close(fd);
}

static void owner_end(void)
{
	int fd;
	pid_t owner = other_owner(GRANULE, &fd);
	char *mine = mshare_attach(fd, 0, 0, NULL, MSHARE_PRIVATE);
	mine[0] = 1;
	end_owner(owner);
	expect_text(try_read(mine), "SEGV_MAPERR", "the owner's end takes copies too");
	expect_is(mshare_detach(mine), 0, "detach");
	close(fd);
}

int main(void)
{
	catch_faults();
	copies();
	truncation();
	zygote();
	owner_end();
	return failures != 0;
}
