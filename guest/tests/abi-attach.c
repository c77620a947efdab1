/* abi-attach.c: mshare_attach and mshare_detach: arguments, addresses, several windows, errors. */
#include "region.h"
#include <sys/resource.h>

#define attach_error(error, text, ...) expect_error(mshare_attach(__VA_ARGS__) == MAP_FAILED ? -1 : 0, error, text)

static void arguments(void)
{
	int unsized = mshare_create(0), fd = region(4 * GRANULE + PAGE);
	map_anon(fd, 0, 4 * GRANULE + PAGE, RW);
	attach_error(EINVAL, "no size set yet", unsized, 0, 0, NULL, 0);
	attach_error(EINVAL, "offset within a page", fd, 1, 0, NULL, 0);
	attach_error(EINVAL, "offset off the granule", fd, PAGE, 0, NULL, 0);
	attach_error(EINVAL, "size off the granule before the end", fd, 0, GRANULE + PAGE, NULL, 0);
	attach_error(EINVAL, "size of a page before the end", fd, 0, PAGE, NULL, 0);
	attach_error(EINVAL, "past the end", fd, 0, 5 * GRANULE, NULL, 0);
	attach_error(EINVAL, "offset past the end", fd, 6 * GRANULE, 0, NULL, 0);
	attach_error(EINVAL, "overflow", fd, GRANULE, -GRANULE, NULL, 0);
	attach_error(EINVAL, "overflow to 0", fd, 2 * GRANULE, ~0UL - 2 * GRANULE + 1, NULL, 0);
	attach_error(EINVAL, "an undefined flag", fd, 0, 0, NULL, 0x20);
	attach_error(EINVAL, "flag 1 << 31", fd, 0, 0, NULL, 0x80000000u);
	attach_error(EINVAL, "RDONLY with PRIVATE", fd, 0, 0, NULL, MSHARE_RDONLY | MSHARE_PRIVATE);
	attach_error(EINVAL, "PASSTHROUGH with RDONLY", fd, 0, 0, NULL, MSHARE_PASSTHROUGH | MSHARE_RDONLY);
	attach_error(EINVAL, "PASSTHROUGH with PRIVATE", fd, 0, 0, NULL, MSHARE_PASSTHROUGH | MSHARE_PRIVATE);

	char *whole = mshare_attach(fd, 0, 0, NULL, 0);
	expect(whole != MAP_FAILED, "size 0 is to the end");
	expect(((uintptr_t)whole & (GRANULE - 1)) == 0, "the kernel picks a multiple of the granule");
	whole[4 * GRANULE] = 7;
	expect_text(try_read(whole + 4 * GRANULE + PAGE), "SEGV_MAPERR", "past the region's end");
	char *exact = mshare_attach(fd, 0, 4 * GRANULE + PAGE, NULL, 0);
	expect(exact != MAP_FAILED && exact != whole, "a second window, with the very size");
	expect(exact[4 * GRANULE] == 7, "it shows the same memory");
	char *part = mshare_attach(fd, 2 * GRANULE, GRANULE, NULL, 0);
	expect(part != MAP_FAILED, "a window on a part");
	part[5] = 9;
	expect(whole[2 * GRANULE + 5] == 9, "shows that part");
	expect_text(try_read(part + GRANULE), "SEGV_MAPERR", "and not what follows");
	char *tail = mshare_attach(fd, 4 * GRANULE, 0, NULL, 0);
	expect(tail != MAP_FAILED && tail[0] == 7, "a window on the tail");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.windows, 4, "four windows");
	expect_is(st.sharers, 1, "in one address space");

	expect_error(mshare_detach(whole + GRANULE), EINVAL, "detach inside a window");
	expect_error(mshare_detach(whole + PAGE), EINVAL, "detach off the granule");
	expect_error(mshare_detach(NULL), EINVAL, "detach of NULL");
	expect_error(mshare_detach(&st), EINVAL, "detach of the stack");
	void *page = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect_error(mshare_detach(page), EINVAL, "detach of ordinary memory");
	expect_is(mshare_detach(whole), 0, "detach");
	expect_text(try_read(whole), "SEGV_MAPERR", "nothing is there any more");
	expect_error(mshare_detach(whole), EINVAL, "a second time");
	expect(exact[4 * GRANULE] == 7 && part[5] == 9, "the other windows stay");
	expect_is(mshare_detach(exact), 0, "detach the second");
	expect_is(mshare_detach(part), 0, "detach the part");
	expect_is(mshare_detach(tail), 0, "detach the tail");
	st = stat_of(fd);
	expect_is(st.windows, 0, "no windows left");
	expect_is(st.sharers, 0, "no sharers left");
	whole = window_on(fd);
	expect(whole[4 * GRANULE] == 7, "the memory is still in the region");
	mshare_detach(whole);
	close(fd);
	close(unsized);
}

static void addresses(void)
{
	int fd = region(2 * GRANULE);
	map_anon(fd, 0, 2 * GRANULE, RW);
	char *place = (char *)(0x3000000000UL + GRANULE);
	attach_error(EINVAL, "FIXED off the granule", fd, 0, 0, place + PAGE, MSHARE_FIXED);
	attach_error(EINVAL, "FIXED off the granule, and beyond the user half", fd, 0, 0, (void *)-1, MSHARE_FIXED);
	attach_error(EINVAL, "FIXED off the granule by less than a page there", fd, 0, 0, (void *)((1UL << 60) + 1), MSHARE_FIXED);
	attach_error(ENOMEM, "FIXED beyond the user half", fd, 0, 0, (void *)(1UL << 47), MSHARE_FIXED);
	attach_error(ENOMEM, "FIXED across its end", fd, 0, 0, (void *)((1UL << 47) - GRANULE), MSHARE_FIXED);
	attach_error(ENOMEM, "FIXED in the kernel's half", fd, 0, 0, (void *)-GRANULE, MSHARE_FIXED);
	char *at = mshare_attach(fd, 0, 0, place, MSHARE_FIXED);
	expect(at == place, "FIXED at a free place");
	attach_error(EEXIST, "FIXED over a window", fd, 0, 0, place, MSHARE_FIXED);
	attach_error(EEXIST, "FIXED over its second half", fd, 0, 0, place + GRANULE, MSHARE_FIXED);
	attach_error(EEXIST, "FIXED over its first half", fd, 0, 0, place - GRANULE, MSHARE_FIXED);
	at[GRANULE] = 3;
	char *hint = mshare_attach(fd, 0, 0, place + 2 * GRANULE, 0);
	expect(hint == place + 2 * GRANULE, "a free hint is taken");
	expect(hint[GRANULE] == 3, "and shows the region");
	char *rounded = mshare_attach(fd, 0, 0, place + 6 * GRANULE + PAGE, 0);
	expect(rounded == place + 7 * GRANULE, "a hint is rounded up to the granule");
	char *taken = mshare_attach(fd, 0, 0, place, 0);
	expect(taken != MAP_FAILED && taken != place, "a taken hint: the kernel picks");
	expect(taken[GRANULE] == 3, "and it shows the region");
	char *ordinary = mmap(place + 16 * GRANULE + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	attach_error(EEXIST, "FIXED over ordinary memory", fd, 0, 0, place + 16 * GRANULE, MSHARE_FIXED);
	expect_is(ordinary[0], 0, "which is unharmed");
	char *populated = mshare_attach(fd, 0, 0, NULL, MSHARE_POPULATE);
	expect(populated != MAP_FAILED, "POPULATE");
	expect(populated[GRANULE] == 3, "shows the region");
	mshare_detach(at);
	mshare_detach(hint);
	mshare_detach(rounded);
	mshare_detach(taken);
	mshare_detach(populated);
	close(fd);
}

static void room(void)
{
	int fd = region(64 * MIB), small = region(GRANULE);
	long before = proc_number("/proc/self/status", "VmSize:");
	char *at = window_on(fd);
	expect_is(proc_number("/proc/self/status", "VmSize:") - before, 64 * 1024, "VmSize counts the window's size");
	mshare_detach(at);
	expect_is(proc_number("/proc/self/status", "VmSize:") - before, 0, "and no longer after detaching");
	struct rlimit limit = { (unsigned long)before * KIB + 32 * MIB, RLIM_INFINITY };
	setrlimit(RLIMIT_AS, &limit);
	attach_error(ENOMEM, "over RLIMIT_AS", fd, 0, 0, NULL, 0);
	at = mshare_attach(small, 0, 0, NULL, 0);
	expect(at != MAP_FAILED, "below RLIMIT_AS");
	mshare_detach(at);
	expect_error(map_anon(fd, 0, 64 * MIB, RW), ENOMEM, "map: RLIMIT_AS of the caller against the region's mapped total");
	expect_is(map_anon(fd, 0, MIB, RW), 0, "less is fine");
	struct mshare_remap grow = { .old_size = MIB, .new_size = 64 * MIB };
	expect_error(mshare_remap(fd, &grow, sizeof(grow)), ENOMEM, "remap: the same");
	grow.new_size = 2 * MIB;
	expect_is(mshare_remap(fd, &grow, sizeof(grow)), 0, "less is fine");
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_AS, &limit);
	int big = region(1UL << 46);
	at = mshare_attach(big, 0, 0, NULL, 0);
	expect(at != MAP_FAILED, "a window of 64 TiB");
	attach_error(ENOMEM, "a second has no room", big, 0, 0, NULL, 0);
	expect_is(mshare_detach(at), 0, "detach it");
	close(big);
	close(fd);
	close(small);
}

/* A window that reaches the region's end follows its growth, up to the slot's end. */
static void growth(void)
{
	int fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	char *to_end = mshare_attach(fd, 0, 0, NULL, 0);
	to_end[0] = 1;
	expect_text(try_read(to_end + GRANULE), "SEGV_MAPERR", "past the end before growing");
	expect_is(ftruncate(fd, 3 * GRANULE), 0, "growing");
	expect_text(try_read(to_end + GRANULE), "SEGV_MAPERR", "no object there yet");
	expect_is(map_anon(fd, GRANULE, 2 * GRANULE, RW), GRANULE, "an object in the new part");
	expect_text(try_write(to_end + GRANULE), "ok", "the window has followed");
	expect_text(try_write(to_end + 3 * GRANULE - 1), "ok", "to the new end");
	expect_text(try_read(to_end + 3 * GRANULE), "SEGV_MAPERR", "and not further");
	char *part = mshare_attach(fd, 0, GRANULE, NULL, 0);
	expect_text(try_read(part + GRANULE), "SEGV_MAPERR", "a window on a part does not follow");
	expect_is(mshare_detach(part), 0, "detach the part");
	expect_is(mshare_detach(to_end), 0, "detach");
	expect_text(try_read(to_end + GRANULE), "SEGV_MAPERR", "all of it is gone");
	close(fd);
}

int main(void)
{
	catch_faults();
	arguments();
	addresses();
	room();
	growth();
	return failures != 0;
}
