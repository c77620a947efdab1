/* abi-view.c: read-only windows (MSHARE_RDONLY): from either kind of descriptor; what is denied, and that changes are seen. */
#include "region.h"

int main(void)
{
	catch_faults();
	unsigned long size = 4 * GRANULE;
	int fd = region(size), handle = reopen(fd, O_RDONLY), ends[2];
	map_anon(fd, 0, 2 * GRANULE, RW);
	char *window = window_on(fd);
	strcpy(window, "first");
	expect_error(mshare_attach(handle, 0, 0, NULL, 0) == MAP_FAILED ? -1 : 0, EACCES, "a read-only descriptor without RDONLY");
	expect_error(mshare_attach(handle, 0, 0, NULL, MSHARE_PASSTHROUGH) == MAP_FAILED ? -1 : 0, EACCES, "nor with PASSTHROUGH");
	char *view = mshare_attach(handle, 0, 0, NULL, MSHARE_RDONLY);
	expect(view != MAP_FAILED, "a read-only window by a read-only descriptor");
	char *second = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
	expect(second != MAP_FAILED, "and by a writable one");
	expect_text(view, "first", "it shows the region");
	expect_text(try_write(view), "SEGV_ACCERR", "writing a page that is present");
	expect_text(try_write(view + PAGE), "SEGV_ACCERR", "writing an untouched page");
	expect_text(try_read(view + 5 * PAGE), "ok", "reading an untouched page");
	expect_text(try_write(view + 5 * PAGE), "SEGV_ACCERR", "does not let it be written");
	expect_text(try_write(window + 5 * PAGE), "ok", "though the writable window may");
	expect_text(try_write(view + 5 * PAGE), "SEGV_ACCERR", "not even then");
	expect_is(view[5 * PAGE], 1, "what was written shows");
	expect_text(try_write(second + 5 * PAGE), "SEGV_ACCERR", "nor through the other");
	expect_text(try_read(view + 2 * GRANULE), "SEGV_MAPERR", "a hole");
	for (int i = 0; i < 64; i++)
		window[i * PAGE + 8] = (char)i;
	int sum = 0;
	for (int i = 0; i < 64; i++)
		sum += view[i * PAGE + 8] == (char)i;
	expect_is(sum, 64, "64 pages show what was written");
	if (pipe(ends))
		return 1;
	expect_is(write(ends[1], "x", 1), 1, "a byte to read");
	expect_error(read(ends[0], view, 1), EFAULT, "read(2) into a read-only window");
	expect_is(write(ends[1], view, 5), 5, "write(2) from it");
	struct mshare_stat st = stat_of(fd);
	if (!(st.flags & MSHARE_STAT_NO_SHARE)) {
		expect(st.view_table_bytes > 0, "the read-only root has tables");
		expect_is(st.resident, 64 * PAGE, "a page counts once");
	}
	expect_is(st.windows, 3, "three windows");
	expect_is(mshare_protect(fd, 0, PAGE, PROT_NONE), 0, "PROT_NONE in the region");
	expect_text(try_read(view), "SEGV_ACCERR", "counts in the view");
	expect_is(mshare_protect(fd, 0, PAGE, RW), 0, "RW again");
	expect_text(try_read(view), "ok", "readable");
	expect_text(try_write(view), "SEGV_ACCERR", "not writable");
	expect_is(mshare_unmap(fd, 0, PAGE), 0, "unmapping");
	expect_text(try_read(view), "SEGV_MAPERR", "is seen in the view");
	map_anon(fd, 0, PAGE, RW);
	expect_text(try_read(view), "ok", "a new object too");
	expect_is(view[0], 0, "with its contents");
	expect_is(mshare_advise(fd, PAGE, PAGE, MADV_REMOVE), 0, "REMOVE");
	expect_is(view[PAGE + 8], 0, "is seen in the view");
	expect_error(mprotect(view, size, RW), EINVAL, "mprotect of the window");
	expect_error(madvise(view, PAGE, MADV_POPULATE_WRITE), EINVAL, "POPULATE_WRITE");
	expect_is(madvise(view + 128 * PAGE, 2 * PAGE, MADV_POPULATE_READ), 0, "POPULATE_READ");
	expect_in_child({
		expect_text(try_read(view + PAGE), "ok", "a child inherits it");
		expect_text(try_write(view + PAGE), "SEGV_ACCERR", "as read-only");
		expect_is(mshare_detach(view), 0, "and detaches");
	});
	char line[256];
	int found = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		char want[64];
		snprintf(want, sizeof(want), "%lx-%lx r--s 00000000 00:0f ", (unsigned long)view, (unsigned long)view + size);
		found += !strncmp(line, want, strlen(want)) && strstr(line, "/mshare:");
	}
	if (f)
		fclose(f);
	expect_is(found, 1, "maps shows it as r--s");
	char *populated = mshare_attach(handle, 0, 0, NULL, MSHARE_RDONLY | MSHARE_POPULATE);
	expect(populated != MAP_FAILED && populated[3 * PAGE + 8] == 3, "with POPULATE");
	char *part = mshare_attach(handle, GRANULE, GRANULE, (void *)(0x3000000000UL + 3 * GRANULE), MSHARE_RDONLY | MSHARE_FIXED);
	expect(part == (void *)(0x3000000000UL + 3 * GRANULE), "on a part, at an odd place");
	window[GRANULE] = 44;
	expect_is(part[0], 44, "shows it");
	expect_text(try_write(part), "SEGV_ACCERR", "read-only");
	/* Code runs where the object lets it. */
	expect_is(mshare_detach(part), 0, "detach");
	expect_is(mshare_detach(populated), 0, "detach");
	expect_is(mshare_detach(second), 0, "detach");
	expect_is(mshare_detach(view), 0, "detach");
	expect_is(window[PAGE * 2 + 8], 2, "the writable window stays");
	expect_is(stat_of(fd).view_table_bytes, 0, "the read-only root is gone with its last window");
	mshare_detach(window);

	/* The owner's end. */
	int theirs;
	pid_t owner = other_owner(GRANULE, &theirs);
	view = mshare_attach(theirs, 0, 0, NULL, MSHARE_RDONLY);
	expect_text(try_read(view), "ok", "a view on another's region");
	end_owner(owner);
	expect_text(try_read(view), "SEGV_MAPERR", "after its end");
	expect_is(mshare_detach(view), 0, "detach");
	return failures != 0;
}
