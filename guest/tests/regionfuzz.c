/* regionfuzz.c: the same random calls on memory (mmap, munmap, mprotect, madvise, mlock2, munlock, msync, mremap), on a region (mshare_map and its
 * kin) or on both (a PASSTHROUGH window), logged so that they can be compared line by line: the calls on a region give what those on memory give.
 *
 * usage: regionfuzz memory|region|window FIRST LAST    one run per seed, 60 calls each
 *
 * The memory lies at a fixed address, where the region's window lies else. Objects are anonymous memory and memfds, which are truncated and punched
 * meanwhile. Logged are results, errnos, and what an access to each page says and finds.
 *
 * Left out, because the texts differ by intent: ranges past the region's end, places that the kernel picks, advice on a whole window. */
#include "region.h"

#define PAGES 64
#define CALLS 60
#define FILES 3
#define AREA ((char *)0x2000000000)

static enum { MEMORY, REGION, WINDOW } how;
static int fd, files[FILES], readonly;
static unsigned long state;

static unsigned any(unsigned n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned)(state >> 33) % n;
}
#define one_of(...) (((const int[]){ __VA_ARGS__ })[any(sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))])

static long place_of(void *at)
{
	return at == MAP_FAILED ? -1 : (char *)at - AREA;
}

static long map(unsigned long offset, unsigned long size, int prot, int flags, int file, unsigned long file_offset)
{
	if (how == MEMORY)
		return place_of(mmap(AREA + offset, size, prot, flags, file, (off_t)file_offset));
	return map_flags(fd, offset, size, prot, (unsigned)flags, file, file_offset);
}

static long map_something(unsigned long offset, unsigned long size)
{
	int prot = one_of(PROT_NONE, PROT_READ, RW, RW, RW, PROT_READ | PROT_EXEC, RW | PROT_EXEC, PROT_WRITE);
	int lock = any(7) == 0 ? MAP_LOCKED : 0, populate = any(6) == 0 ? MAP_POPULATE : 0;
	if (any(2))
		return map(offset, size, prot, ANON | one_of(MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE) | lock | populate, -1, 0);
	unsigned which = any(FILES + 1);
	return map(offset, size, prot, MAP_SHARED | MAP_FIXED | lock | populate, which < FILES ? files[which] : readonly, any(10) * PAGE);
}

static long advise(unsigned long offset, unsigned long size)
{
	int whole = one_of(MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP), either = any(5) == 0;
	int advice = one_of(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_FREE, MADV_MERGEABLE, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTNEED_LOCKED);
	if (either && how == WINDOW)
		return mshare_advise(fd, offset, size, whole);
	if (either)
		advice = whole;
	return how == REGION ? mshare_advise(fd, offset, size, advice) : madvise(AREA + offset, size, advice);
}

static long remap(unsigned long offset, unsigned long size)
{
	unsigned long new_size = (1 + any(12)) * PAGE, new_offset = any(PAGES - 12) * PAGE;
	unsigned flags = any(3) ? MREMAP_MAYMOVE | MREMAP_FIXED : 0;
	if (flags == 0 && offset + new_size > PAGES * PAGE)
		new_size = PAGE;
	if (how == MEMORY)
		return place_of(mremap(AREA + offset, size, new_size, (int)flags, AREA + new_offset));
	struct mshare_remap args = { offset, size, new_offset, new_size, flags, 0 };
	return mshare_remap(fd, &args, sizeof(args));
}

static long call(const char **name, unsigned long offset, unsigned long size)
{
	char *at = AREA + offset;
	int prot = one_of(PROT_NONE, PROT_READ, RW, RW, PROT_READ | PROT_EXEC, PROT_WRITE), file = files[any(FILES)];
	int on_fault = one_of(0, MLOCK_ONFAULT), sync = one_of(MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_INVALIDATE);
	unsigned long from = any(12) * PAGE, length = (1 + any(4)) * PAGE, odd = any(2) ? any(PAGE) : 0;
	switch (any(16)) {
	case 0: case 1: case 2: case 3:
		*name = "map";
		return map_something(offset, size);
	case 4:
		*name = "unmap";
		return how == REGION ? mshare_unmap(fd, offset, size) : munmap(at, size);
	case 5: case 6:
		*name = "protect";
		return how == REGION ? mshare_protect(fd, offset, size, prot) : mprotect(at, size, prot);
	case 7: case 8:
		*name = "advise";
		return advise(offset, size);
	case 9:
		*name = "lock";
		return how == REGION ? mshare_lock(fd, offset, size, (unsigned)on_fault) : mlock2(at, size, (unsigned)on_fault);
	case 10:
		*name = "unlock";
		return how == REGION ? mshare_unlock(fd, offset, size) : munlock(at, size);
	case 11:
		*name = "sync";
		return how == REGION ? mshare_sync(fd, offset, size, sync) : msync(at, size, sync);
	case 12: case 13:
		*name = "remap";
		return remap(offset, size);
	case 14:
		*name = "truncate";
		return ftruncate(file, (off_t)(from + odd));
	default:
		*name = "punch";
		return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)length);
	}
}

/* What reading each page says and finds, and on some turns writing it. */
static unsigned contents(int turn)
{
	unsigned sum = 0;
	for (int i = 0; i < PAGES; i++) {
		char *page = AREA + i * PAGE;
		const char *read = try_read(page);
		sum = sum * 31 + (unsigned char)read[5] + (read[0] == 'o' ? (unsigned char)page[0] * 7u : 0);
		if (turn % 5 == 0 && read[0] == 'o' && try_write(page)[0] == 'o')
			page[0] = (char)(turn + i), sum += 3;
	}
	return sum;
}

static void set_up(void)
{
	for (int i = 0; i < FILES; i++)
		files[i] = memfd((8 + 8 * (unsigned)i) * PAGE + (i == 1 ? 100 : 0));
	readonly = reopen(files[0], O_RDONLY);
	if (how == MEMORY)
		return;
	fd = region(PAGES * PAGE);
	if (mshare_attach(fd, 0, 0, AREA, MSHARE_FIXED | (how == WINDOW ? MSHARE_PASSTHROUGH : 0)) != AREA)
		printf("no window: %s\n", error_name(errno));
}

static void tear_down(void)
{
	if (how == MEMORY)
		munmap(AREA, PAGES * PAGE);
	else if (mshare_detach(AREA) || close(fd))
		printf("no end: %s\n", error_name(errno));
	for (int i = 0; i < FILES; i++)
		close(files[i]);
	close(readonly);
}

static void run(unsigned seed)
{
	state = seed * 7919UL;
	set_up();
	for (int turn = 0; turn < CALLS; turn++) {
		unsigned long offset = any(PAGES) * PAGE, size = (1 + any(12)) * PAGE;
		if (any(12) == 0)
			size -= any(PAGE);
		if (offset + size > PAGES * PAGE)
			size = PAGES * PAGE - offset;
		if (any(25) == 0 && offset + size + PAGE < PAGES * PAGE)
			offset += any(PAGE);
		const char *name = "";
		errno = 0;
		long result = call(&name, offset, size);
		int error = errno;
		printf("%u.%d %s %lx %lx: %lx %s, %x\n", seed, turn, name, offset, size, result, result == -1 ? error_name(error) : "", contents(turn));
	}
	tear_down();
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	how = argv[1][0] == 'm' ? MEMORY : argv[1][0] == 'r' ? REGION : WINDOW;
	catch_faults();
	for (int seed = atoi(argv[2]); seed <= atoi(argv[3]); seed++)
		run((unsigned)seed);
	return 0;
}
